// Mocha 12 re-emits rejections it does not own and then lets the run pass.
// Rethrowing turns a lost rejection into a failure of the running test.
process.on('unhandledRejection', (reason) => {
  throw reason;
});

// By exit(), so that what cleans up at the end of the process does, as it would at the end of the tests.
// oxlint-disable-next-line unicorn/no-process-exit -- this is the end of the run
process.once('SIGTERM', () => process.exit(143));

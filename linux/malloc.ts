import { mallopt } from './libc.ts';

// mallopt(3).
const M_ARENA_MAX = -8;
const M_MMAP_THRESHOLD = -3;
/** What compilers ask for at a time: it goes back to the kernel when it is freed. */
const SMALL_THRESHOLD_BYTES = 16_384;
/** Where glibc begins; larger pieces of buffers do not cost a system call each. */
const USUAL_THRESHOLD_BYTES = 131_072;

/**
 * While a program is loaded and compiled much memory is freed again that the C library keeps for later, in each thread
 * for itself: 30 MB at a first start. After this call it gives larger pieces back, and threads share what is kept. Call
 * it before there are other threads, and {@link keepFreedMemory} when the program serves.
 */
export function returnFreedMemory(): void {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, SMALL_THRESHOLD_BYTES);
}

export function keepFreedMemory(): void {
  mallopt(M_MMAP_THRESHOLD, USUAL_THRESHOLD_BYTES);
}

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ApiError } from '#playground/api-server/errors.ts';
import { decodeProtobuf } from '#playground/api-server/protobuf/decode.ts';

type Content = string | number | boolean | Uint8Array;

/** A message of fields by number, several of one number in a list. */
function message(fields: Readonly<Record<number, Content | readonly Content[]>>): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, content] of Object.entries(fields)) {
    for (const each of [content].flat()) write(writer, Number(number), each);
  }
  return writer.finish();
}

function write(writer: BinaryWriter, number: number, content: Content): void {
  if (typeof content === 'string') writer.tag(number, WireType.LengthDelimited).string(content);
  else if (typeof content === 'number') writer.tag(number, WireType.Varint).int64(content);
  else if (typeof content === 'boolean') writer.tag(number, WireType.Varint).bool(content);
  else writer.tag(number, WireType.LengthDelimited).bytes(content);
}

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Buffer {
  const unknown = message({ 1: message({ 1: apiVersion, 2: kind }), 2: raw, 3: '', 4: '' });
  return Buffer.concat([Buffer.from('k8s\0'), unknown]);
}

function refusal(bytes: Buffer): ApiError {
  try {
    decodeProtobuf(bytes);
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

// Numbers are those of the published .proto files.
const named = message({
  1: 'x',
  2: '',
  3: 'shop',
  8: message({}),
  11: message({ 1: 'a', 2: 'b' }),
});

describe('decodeProtobuf()', () => {
  it('gives the JSON of an object, without what was left empty', () => {
    const configMap = message({
      1: named,
      2: [message({ 1: 'k', 2: 'v' }), message({ 1: 'empty' })],
    });
    expect(decodeProtobuf(envelope('v1', 'ConfigMap', configMap))).to.deep.equal({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'x', namespace: 'shop', labels: { a: 'b' } },
      data: { k: 'v', empty: '' },
    });
  });

  it('keeps an empty value that says something', () => {
    const spec = message({ 1: 0, 5: 0 });
    const deployment = decodeProtobuf(envelope('apps/v1', 'Deployment', message({ 2: spec })));
    expect(deployment['spec']).to.deep.equal({ replicas: 0 });
  });

  it('knows quantities, ports by name, times, bytes and inlined messages', () => {
    const limits = message({ 1: message({ 1: 'memory', 2: message({ 1: '64Mi' }) }) });
    const probe = message({
      1: message({ 2: message({ 2: message({ 1: 1, 3: 'http' }) }) }),
      4: 5,
    });
    const container = message({ 1: 'main', 2: 'i', 8: limits, 10: probe });
    const volume = message({ 1: 'v', 2: message({ 2: message({}) }) });
    const pod = message({
      1: message({ 1: 'p', 9: message({ 1: 1_700_000_000 }) }),
      2: message({ 1: volume, 2: container }),
    });
    expect(decodeProtobuf(envelope('v1', 'Pod', pod))).to.deep.include({
      metadata: { name: 'p', deletionTimestamp: '2023-11-14T22:13:20Z' },
      spec: {
        volumes: [{ name: 'v', emptyDir: {} }],
        containers: [
          {
            name: 'main',
            image: 'i',
            resources: { limits: { memory: '64Mi' } },
            livenessProbe: { httpGet: { port: 'http' }, periodSeconds: 5 },
          },
        ],
      },
    });
    const secret = message({ 2: message({ 1: 'a', 2: 'b' }) });
    expect(decodeProtobuf(envelope('v1', 'Secret', secret))['data']).to.deep.equal({ a: 'Yg==' });
  });

  it('reads the options of a deletion in any group', () => {
    const options = envelope('apps/v1', 'DeleteOptions', message({ 1: 0, 4: 'Orphan' }));
    expect(decodeProtobuf(options)).to.include({
      gracePeriodSeconds: 0,
      propagationPolicy: 'Orphan',
    });
  });

  it('skips fields of later versions', () => {
    const later = message({ 1: named, 99: 'new', 98: 7 });
    expect(decodeProtobuf(envelope('v1', 'ConfigMap', later))).to.not.have.property('data');
  });

  it('refuses what is no such message, or cut, or of an unknown kind', () => {
    expect(refusal(Buffer.from('{}')).message).to.contain('expected prefix k8s');
    const whole = envelope('v1', 'ConfigMap', message({ 1: named }));
    expect(refusal(whole.subarray(0, -5)).code).to.equal(400);
    expect(refusal(envelope('v7', 'Thing', message({}))).message).to.equal(
      'no kind "Thing" is registered for version "v7"',
    );
  });

  it('refuses a name that would change the object itself', () => {
    const data = message({ 2: message({ 1: '__proto__', 2: 'x' }) });
    expect(refusal(envelope('v1', 'ConfigMap', data)).code).to.equal(400);
  });
});

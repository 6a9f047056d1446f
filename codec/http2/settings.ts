import { ErrorCode, MAX_31_BITS, readUint32, SETTING_LENGTH, writeUint32 } from './frame.ts';

/** The settings of one side that matter to the other (RFC 9113 section 6.5.2). Mutable: SETTINGS frames change them. */
export interface Settings {
  headerTableSize: number;
  enablePush: boolean;
  maxConcurrentStreams: number;
  initialWindowSize: number;
  maxFrameSize: number;
  maxHeaderListSize: number;
}

/** "No limit" of the settings that know such a thing. */
export const UNLIMITED = 0xffff_ffff;

/** What holds for both sides until SETTINGS say otherwise. */
export const INITIAL_SETTINGS: Readonly<Settings> = {
  headerTableSize: 4096,
  enablePush: true,
  maxConcurrentStreams: UNLIMITED,
  initialWindowSize: 65_535,
  maxFrameSize: 16_384,
  maxHeaderListSize: UNLIMITED,
};

export const FRAME_SIZE_MAX = 0xff_ffff;

const Setting = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
  noRfc7540Priorities: 0x9,
} as const;

/** Settings in one frame: there are fewer than ten that mean anything, and each costs us work. */
export const SETTINGS_PER_FRAME_MAX = 32;

/**
 * Applies the payload of a SETTINGS frame, whose length is a multiple of six, to `settings`. Returns
 * `noError`, or the code of the connection error that the first bad value is.
 */
export function applySettings(
  settings: Settings,
  bytes: Buffer,
  start: number,
  end: number,
): number {
  for (let at = start; at < end; at += SETTING_LENGTH) {
    const id = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    const code = applySetting(settings, id, readUint32(bytes, at + 2));
    if (code !== ErrorCode.noError) return code;
  }
  return ErrorCode.noError;
}

/** Writes those of `settings` that differ from what holds anyway. Returns the end; the caller made room. */
export function writeSettings(settings: Readonly<Settings>, bytes: Buffer, at: number): number {
  let position = at;
  for (const [id, value, initial] of [
    [Setting.headerTableSize, settings.headerTableSize, INITIAL_SETTINGS.headerTableSize],
    [Setting.enablePush, settings.enablePush ? 1 : 0, 1],
    [Setting.maxConcurrentStreams, settings.maxConcurrentStreams, UNLIMITED],
    [Setting.initialWindowSize, settings.initialWindowSize, INITIAL_SETTINGS.initialWindowSize],
    [Setting.maxFrameSize, settings.maxFrameSize, INITIAL_SETTINGS.maxFrameSize],
    [Setting.maxHeaderListSize, settings.maxHeaderListSize, UNLIMITED],
  ] as const) {
    if (value === initial) continue;
    bytes[position] = id >>> 8;
    bytes[position + 1] = id;
    writeUint32(bytes, position + 2, value);
    position += SETTING_LENGTH;
  }
  return position;
}

/** Room that {@link writeSettings} can need. */
export const SETTINGS_LENGTH_MAX: number = 6 * SETTING_LENGTH;

function applySetting(settings: Settings, id: number, value: number): number {
  switch (id) {
    case Setting.headerTableSize:
      settings.headerTableSize = value;
      return ErrorCode.noError;
    case Setting.enablePush:
      if (value > 1) return ErrorCode.protocolError;
      settings.enablePush = value === 1;
      return ErrorCode.noError;
    case Setting.maxConcurrentStreams:
      settings.maxConcurrentStreams = value;
      return ErrorCode.noError;
    case Setting.initialWindowSize:
      if (value > MAX_31_BITS) return ErrorCode.flowControlError;
      settings.initialWindowSize = value;
      return ErrorCode.noError;
    case Setting.maxFrameSize:
      if (value < INITIAL_SETTINGS.maxFrameSize || value > FRAME_SIZE_MAX)
        return ErrorCode.protocolError;
      settings.maxFrameSize = value;
      return ErrorCode.noError;
    case Setting.maxHeaderListSize:
      settings.maxHeaderListSize = value;
      return ErrorCode.noError;
    case Setting.enableConnectProtocol:
    case Setting.noRfc7540Priorities:
      return value > 1 ? ErrorCode.protocolError : ErrorCode.noError;
    default:
      // Settings that we don't know must be ignored (RFC 9113 section 6.5.2).
      return ErrorCode.noError;
  }
}

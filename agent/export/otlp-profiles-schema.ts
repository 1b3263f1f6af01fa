/**
 * The messages of OTLP's profiles signal that hotspan writes, with the field numbers of opentelemetry/proto/profiles/v1development
 * (profiles.proto of the release 1.9, which the collector 0.159 reads). Field names are the specification's in camel case.
 */

import protobuf from 'protobufjs/light.js';

/** "number name: type"; repeated numbers are packed, as proto3 has it. */
type Fields = Readonly<Record<string, readonly [number, string, 'repeated'?]>>;

const messages: Readonly<Record<string, Fields>> = {
  ProfilesData: { resourceProfiles: [1, 'ResourceProfiles', 'repeated'], dictionary: [2, 'ProfilesDictionary'] },
  ProfilesDictionary: {
    mappingTable: [1, 'Mapping', 'repeated'],
    locationTable: [2, 'Location', 'repeated'],
    functionTable: [3, 'Function', 'repeated'],
    linkTable: [4, 'Link', 'repeated'],
    stringTable: [5, 'string', 'repeated'],
    attributeTable: [6, 'KeyValueAndUnit', 'repeated'],
    stackTable: [7, 'Stack', 'repeated'],
  },
  ResourceProfiles: { resource: [1, 'Resource'], scopeProfiles: [2, 'ScopeProfiles', 'repeated'], schemaUrl: [3, 'string'] },
  ScopeProfiles: { scope: [1, 'Scope'], profiles: [2, 'Profile', 'repeated'], schemaUrl: [3, 'string'] },
  Profile: {
    sampleType: [1, 'ValueType'],
    samples: [2, 'Sample', 'repeated'],
    timeUnixNano: [3, 'fixed64'],
    durationNano: [4, 'uint64'],
    periodType: [5, 'ValueType'],
    period: [6, 'int64'],
    profileId: [7, 'bytes'],
  },
  Sample: {
    stackIndex: [1, 'int32'],
    attributeIndices: [2, 'int32', 'repeated'],
    linkIndex: [3, 'int32'],
    values: [4, 'int64', 'repeated'],
  },
  ValueType: { typeStrindex: [1, 'int32'], unitStrindex: [2, 'int32'] },
  Stack: { locationIndices: [1, 'int32', 'repeated'] },
  Location: {
    mappingIndex: [1, 'int32'],
    address: [2, 'uint64'],
    lines: [3, 'Line', 'repeated'],
    attributeIndices: [4, 'int32', 'repeated'],
  },
  Line: { functionIndex: [1, 'int32'], line: [2, 'int64'] },
  Function: { nameStrindex: [1, 'int32'], systemNameStrindex: [2, 'int32'], filenameStrindex: [3, 'int32'] },
  Mapping: {
    memoryStart: [1, 'uint64'],
    memoryLimit: [2, 'uint64'],
    filenameStrindex: [4, 'int32'],
    attributeIndices: [5, 'int32', 'repeated'],
  },
  Link: { traceId: [1, 'bytes'], spanId: [2, 'bytes'] },
  KeyValueAndUnit: { keyStrindex: [1, 'int32'], value: [2, 'AnyValue'] },
  Resource: { attributes: [1, 'KeyValue', 'repeated'] },
  Scope: { name: [1, 'string'], version: [2, 'string'] },
  KeyValue: { key: [1, 'string'], value: [2, 'AnyValue'] },
  // One of its fields is set (opentelemetry/proto/common/v1/common.proto).
  AnyValue: { stringValue: [1, 'string'], intValue: [3, 'int64'] },
  ExportProfilesServiceResponse: { partialSuccess: [1, 'ExportProfilesPartialSuccess'] },
  ExportProfilesPartialSuccess: { rejectedProfiles: [1, 'int64'], errorMessage: [2, 'string'] },
};

const root = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(messages).map(([name, fields]) => [
      name,
      {
        fields: Object.fromEntries(
          Object.entries(fields).map(([field, [id, type, rule]]) => [
            field,
            { id, type, ...(rule === undefined ? {} : { rule }) },
          ]),
        ),
      },
    ]),
  ),
});

/** The request of the collector's profiles service has the same fields as the data of a file. */
export const profilesData = root.lookupType('ProfilesData');
export const exportResponse = root.lookupType('ExportProfilesServiceResponse');

/**
 * The one table of configuration keys. Names in the file, in the environment and on the command line, help texts, checks and the
 * type of Config are all made from it.
 */

/** host:port as given; a host in brackets is IPv6. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

interface KeyBase {
  /** Dotted path in the file: "retention.age". HOTSPAN_RETENTION_AGE and --retention-age follow from it. */
  readonly name: string;
  readonly help: string;
  /** What stands for the value in help texts. */
  readonly placeholder: string;
  /** The standard OpenTelemetry variable that means the same. HOTSPAN_* wins over it. */
  readonly otelVariable?: string;
  /** The agent must be started again before a change of it is felt. */
  readonly needsRestart: boolean;
}

export type KeySpec = KeyBase &
  (
    | {
        readonly kind: 'text' | 'path' | 'url';
        readonly default: string;
        readonly minLength?: number;
        readonly isSecret?: boolean;
      }
    | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default: string }
    | { readonly kind: 'switch'; readonly default: boolean }
    | {
        readonly kind: 'number';
        readonly unit: string;
        readonly min: number;
        readonly max: number;
        readonly default: number;
        readonly isPowerOfTwo?: boolean;
        /** Whole numbers only, where this is not set. */
        readonly hasFraction?: boolean;
      }
    /** Milliseconds. */
    | { readonly kind: 'duration'; readonly min: number; readonly max: number; readonly default: number }
    /** Bytes. */
    | { readonly kind: 'size'; readonly min: number; readonly max: number; readonly default: number }
    | { readonly kind: 'address'; readonly default: string }
    | { readonly kind: 'list'; readonly default: readonly string[] }
    | { readonly kind: 'pairs'; readonly default: Readonly<Record<string, string>> }
  );

const day = 86_400_000;
const gibibyte = 2 ** 30;

export const configKeys = {
  listen: {
    name: 'listen',
    kind: 'address',
    placeholder: 'HOST:PORT',
    default: '127.0.0.1:7575',
    needsRestart: true,
    help: 'address of the UI and API; any but a loopback address needs a token or client certificates',
  },
  allowedHosts: {
    name: 'allowed-hosts',
    kind: 'list',
    placeholder: 'NAME,...',
    default: [],
    needsRestart: true,
    help: 'further host names under which browsers may open the UI, such as that of a reverse proxy',
  },
  dataDir: {
    name: 'data-dir',
    kind: 'path',
    placeholder: 'DIR',
    default: '/var/lib/hotspan',
    needsRestart: true,
    help: 'where the store is kept',
  },
  token: {
    name: 'token',
    kind: 'text',
    placeholder: 'TEXT',
    default: '',
    minLength: 16,
    isSecret: true,
    needsRestart: true,
    help: 'secret of at least 16 characters that every request must carry; better in the environment or a file than on the command line',
  },
  tokenFile: {
    name: 'token-file',
    kind: 'path',
    placeholder: 'FILE',
    default: '',
    needsRestart: true,
    help: 'file that holds the token',
  },
  tlsCert: {
    name: 'tls.cert',
    kind: 'path',
    placeholder: 'FILE',
    default: '',
    needsRestart: true,
    help: 'certificate (PEM) to serve HTTPS with',
  },
  tlsKey: {
    name: 'tls.key',
    kind: 'path',
    placeholder: 'FILE',
    default: '',
    needsRestart: true,
    help: 'private key (PEM) of that certificate',
  },
  tlsClientCa: {
    name: 'tls.client-ca',
    kind: 'path',
    placeholder: 'FILE',
    default: '',
    needsRestart: true,
    help: 'authority (PEM) whose client certificates are let in, and no others',
  },
  budgetPercent: {
    name: 'budget',
    kind: 'number',
    placeholder: 'PERCENT',
    unit: '% of the CPU of all cores',
    default: 2,
    min: 0,
    max: 100,
    hasFraction: true,
    needsRestart: false,
    help: 'CPU of all cores together, in percent, that hotspan may use itself, its kernel programs included; above it it lowers rates and raises floors until it keeps to it; 0: no limit',
  },
  unwindBytes: {
    name: 'unwind.bytes',
    kind: 'size',
    placeholder: 'SIZE',
    default: 32 * 2 ** 20,
    min: 0,
    max: 256 * 2 ** 20,
    needsRestart: true,
    help: 'kernel memory for unwind tables; 0 walks stacks by frame pointers alone',
  },
  retentionBytes: {
    name: 'retention.bytes',
    kind: 'size',
    placeholder: 'SIZE',
    default: 2 * gibibyte,
    min: 16 * 2 ** 20,
    max: 2 ** 44,
    needsRestart: false,
    help: 'size of the store above which the oldest data is deleted',
  },
  retentionAgeMs: {
    name: 'retention.age',
    kind: 'duration',
    placeholder: 'TIME',
    default: 7 * day,
    min: 600_000,
    max: 3650 * day,
    needsRestart: false,
    help: 'age above which data is deleted',
  },
  pendingBytes: {
    name: 'pending-bytes',
    kind: 'size',
    placeholder: 'SIZE',
    default: 64 * 2 ** 20,
    min: 2 ** 20,
    max: 2 ** 32,
    needsRestart: true,
    help: 'memory for spans that wait while the store cannot be written, as on a full disk; what comes beyond it is lost and counted',
  },
  bufferPages: {
    name: 'buffer-pages',
    kind: 'number',
    placeholder: 'PAGES',
    unit: 'pages per CPU',
    default: 0,
    min: 0,
    max: 8192,
    isPowerOfTwo: true,
    needsRestart: true,
    help: 'size of each perf buffer, a power of two; 0 leaves it to each source',
  },
  jvmPerfMap: {
    name: 'jvm-perf-map',
    kind: 'switch',
    placeholder: 'BOOL',
    default: false,
    needsRestart: true,
    help: 'ask JVMs (JDK 17 or later) once a minute for the names of what they have compiled; this signals them, and writes a file into their directory and /tmp/perf-PID.map, which hotspan does to no process unless told to',
  },
  debuginfodUrls: {
    name: 'debuginfod-urls',
    kind: 'list',
    placeholder: 'URL,...',
    default: [],
    needsRestart: true,
    help: 'debuginfod servers to fetch debug information from that this host has not; "env" stands for those of DEBUGINFOD_URLS; empty: nothing is fetched',
  },
  otlpEndpoint: {
    name: 'otlp.endpoint',
    kind: 'url',
    placeholder: 'URL',
    default: '',
    otelVariable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    needsRestart: true,
    help: 'OpenTelemetry collector to send spans and metrics to, such as http://localhost:4318; empty: nothing is sent',
  },
  otlpTracesEndpoint: {
    name: 'otlp.traces-endpoint',
    kind: 'url',
    placeholder: 'URL',
    default: '',
    otelVariable: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    needsRestart: true,
    help: 'full address for spans, where it differs',
  },
  otlpMetricsEndpoint: {
    name: 'otlp.metrics-endpoint',
    kind: 'url',
    placeholder: 'URL',
    default: '',
    otelVariable: 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT',
    needsRestart: true,
    help: 'full address for metrics, where it differs',
  },
  otlpProfilesEndpoint: {
    name: 'otlp.profiles-endpoint',
    kind: 'url',
    placeholder: 'URL',
    default: '',
    otelVariable: 'OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT',
    needsRestart: true,
    help: 'full address for profiles, where it differs',
  },
  otlpProfiles: {
    name: 'otlp.profiles',
    kind: 'list',
    placeholder: 'TYPE,...',
    default: [],
    needsRestart: true,
    help: 'profile types to send, such as cpu,offcpu; the signal is in development, and a collector must have it switched on; empty: none',
  },
  otlpProtocol: {
    name: 'otlp.protocol',
    kind: 'choice',
    choices: ['http/protobuf', 'grpc'],
    placeholder: 'PROTOCOL',
    default: 'http/protobuf',
    otelVariable: 'OTEL_EXPORTER_OTLP_PROTOCOL',
    needsRestart: true,
    help: 'http/protobuf or grpc',
  },
  otlpHeaders: {
    name: 'otlp.headers',
    kind: 'pairs',
    placeholder: 'KEY=VALUE,...',
    default: {},
    otelVariable: 'OTEL_EXPORTER_OTLP_HEADERS',
    needsRestart: true,
    help: 'headers to send along',
  },
  otlpTimeoutMs: {
    name: 'otlp.timeout',
    kind: 'duration',
    placeholder: 'TIME',
    default: 10_000,
    min: 100,
    max: 300_000,
    otelVariable: 'OTEL_EXPORTER_OTLP_TIMEOUT',
    needsRestart: true,
    help: 'time after which an export is tried again',
  },
  otlpCompression: {
    name: 'otlp.compression',
    kind: 'choice',
    choices: ['gzip', 'none'],
    placeholder: 'NAME',
    default: 'gzip',
    otelVariable: 'OTEL_EXPORTER_OTLP_COMPRESSION',
    needsRestart: true,
    help: 'gzip or none',
  },
  otlpServiceName: {
    name: 'otlp.service-name',
    kind: 'text',
    placeholder: 'NAME',
    default: 'hotspan',
    otelVariable: 'OTEL_SERVICE_NAME',
    needsRestart: true,
    help: "service.name of the agent's own telemetry",
  },
  otlpResourceAttributes: {
    name: 'otlp.resource-attributes',
    kind: 'pairs',
    placeholder: 'KEY=VALUE,...',
    default: {},
    otelVariable: 'OTEL_RESOURCE_ATTRIBUTES',
    needsRestart: true,
    help: 'attributes to add to every exported resource',
  },
  otlpDisabled: {
    name: 'otlp.disabled',
    kind: 'switch',
    placeholder: 'BOOL',
    default: false,
    otelVariable: 'OTEL_SDK_DISABLED',
    needsRestart: true,
    help: 'send nothing, whatever else is set',
  },
  logLevel: {
    name: 'log.level',
    kind: 'choice',
    choices: ['debug', 'info', 'warning', 'error'],
    placeholder: 'LEVEL',
    default: 'info',
    needsRestart: false,
    help: 'debug, info, warning or error',
  },
  logFormat: {
    name: 'log.format',
    kind: 'choice',
    choices: ['auto', 'text', 'json'],
    placeholder: 'FORMAT',
    default: 'auto',
    needsRestart: true,
    help: 'text, json, or auto: text on a terminal and json elsewhere',
  },
} as const satisfies Record<string, KeySpec>;

export type ConfigKey = keyof typeof configKeys;

type ValueOf<K extends KeySpec> = K extends { kind: 'choice'; choices: readonly (infer C)[] }
  ? C
  : K extends { kind: 'switch' }
    ? boolean
    : K extends { kind: 'number' | 'duration' | 'size' }
      ? number
      : K extends { kind: 'address' }
        ? Address
        : K extends { kind: 'list' }
          ? readonly string[]
          : K extends { kind: 'pairs' }
            ? Readonly<Record<string, string>>
            : string;

/** One value per key of the table; durations in milliseconds, sizes in bytes. */
export type ConfigValues = { readonly [K in ConfigKey]: ValueOf<(typeof configKeys)[K]> };

/** The table's entries, typed as the general spec. */
export const configEntries = Object.entries(configKeys) as readonly (readonly [ConfigKey, KeySpec])[];

/** "--retention-age" without its dashes. */
export function flagOf(name: string): string {
  return name.replaceAll('.', '-');
}

/** "HOTSPAN_RETENTION_AGE"; a camel-cased setting of a source is split at its capitals. */
export function variableOf(name: string): string {
  return `HOTSPAN_${name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[.-]/g, '_')
    .toUpperCase()}`;
}

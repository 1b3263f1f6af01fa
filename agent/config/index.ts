/** The configuration: defaults < file < environment < flags, from one table of keys. */

export {
  type Config,
  ConfigError,
  type ConfigInput,
  defaultConfigFile,
  loadConfig,
  reloadConfig,
  type SourceConfig,
  type SourceSpec,
} from './config.ts';
export { type ConfigChange, diffConfig } from './diff.ts';
export { watchConfigFile } from './watch.ts';

/** The file format of speedscope (https://www.speedscope.app/file-format-schema.json): one sampled profile, merged by functions. */

import type { FullProfile } from '../store/full-profile.ts';
import { functionPaths } from './function-paths.ts';

export function speedscopeJson(profile: FullProfile): string {
  const { functions, paths } = functionPaths(profile);
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    name: `${profile.type} ${new Date(profile.fromMs).toISOString()} to ${new Date(profile.toMs).toISOString()}`,
    exporter: 'hotspan',
    activeProfileIndex: 0,
    shared: {
      frames: functions.map(({ name, module, file, line }) => ({
        name,
        ...(file === '' ? { file: module } : { file }),
        ...(line > 0 ? { line } : {}),
      })),
    },
    profiles: [
      {
        type: 'sampled',
        name: profile.type,
        // The format knows units of time and bytes; what is only counted has none.
        unit: profile.unit === 'count' ? 'none' : profile.unit,
        startValue: 0,
        endValue: paths.reduce((sum, path) => sum + path.value, 0),
        samples: paths.map(path => path.functions),
        weights: paths.map(path => path.value),
      },
    ],
  });
}

/** Where built things lie, seen from the sources. */

import { fileURLToPath } from 'node:url';

const built = (path: string) => fileURLToPath(new URL(`../.build/${path}`, import.meta.url));

/** Folder of <source>.bpf.o. */
export const objectDir = built('bpf');
/** Folder of the built UI. */
export const uiDir = built('ui');

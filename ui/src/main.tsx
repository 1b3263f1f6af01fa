/** Entry of the UI. */

import { render } from 'preact';
import { App } from './app.tsx';
import { startKeys } from './state/keys.ts';
import { startLive } from './state/live.ts';

startLive();
startKeys();
const root = document.getElementById('app');
if (root !== null) render(<App />, root);

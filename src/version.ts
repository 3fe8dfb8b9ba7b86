/** The version of the gateway, as its package names it. */
import packageJson from '../package.json' with { type: 'json' };

export const { version } = packageJson;

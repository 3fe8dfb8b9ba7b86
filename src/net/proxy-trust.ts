/** What PROXY headers need before they can be believed. Pure. */

export type ProxySettings = {
  readonly proxyProtocol: 'off' | 'v2';
  /** Whose headers are believed; an empty text names no network. */
  readonly proxyProtocolFrom: { readonly text: string };
  readonly activeMode: 'on' | 'off';
};

/**
 * `no-networks`: anybody could name any client address. `active-mode`: the sender of a header would choose the address that PORT
 * connects to.
 */
export type ProxyProblem = 'no-networks' | 'active-mode';

/** Why the settings must not be used together. A setting that is not known is not a reason. */
export function proxyProblems(settings: Partial<ProxySettings>): readonly ProxyProblem[] {
  if (settings.proxyProtocol !== 'v2') return [];
  const problems: ProxyProblem[] = [];
  if (settings.proxyProtocolFrom?.text === '') problems.push('no-networks');
  if (settings.activeMode === 'on') problems.push('active-mode');
  return problems;
}

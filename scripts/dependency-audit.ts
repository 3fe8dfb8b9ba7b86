/**
 * Licences and known vulnerabilities of what production installs, from package-lock.json alone and, where the registry offers it,
 * from `npm audit`. Pure but for its arguments.
 */

export type LockedPackage = {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly deprecated?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
  readonly link?: boolean;
};

/** Something known about one version of a package, and why it may stay. */
export type Finding = {
  readonly package: string;
  readonly version: string;
  readonly advisories?: readonly string[];
  readonly reason: string;
};

export type Findings = {
  readonly licences: readonly string[];
  readonly accepted: readonly Finding[];
  readonly unmaintained: readonly Finding[];
};

/** An advisory of the registry: the affected package, and the last part of the advisory's URL. */
export type Advisory = { readonly package: string; readonly id: string; readonly title: string };

export type ProductionPackage = LockedPackage & { readonly name: string };

/** The packages that `npm ci --omit=dev` installs. */
export function productionPackages(
  packages: Readonly<Record<string, LockedPackage>>,
): readonly ProductionPackage[] {
  return Object.entries(packages).flatMap(([path, locked]) => {
    const isForDevelopment = locked.dev === true || locked.devOptional === true || locked.peer === true;
    if (path === '' || locked.link === true || isForDevelopment) return [];
    return [{ ...locked, name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length) }];
  });
}

/** One sentence for each problem. */
export function auditProblems(
  installed: readonly ProductionPackage[],
  findings: Findings,
  advisories: readonly Advisory[],
): string[] {
  const known = [...findings.accepted, ...findings.unmaintained];
  return [
    ...installed.flatMap(({ name, version = '', license = 'none', integrity, deprecated }) => [
      ...(findings.licences.includes(license) ? [] : [`${name}@${version} has the licence ${license}.`]),
      ...(integrity?.startsWith('sha512-') === true ? [] : [`${name}@${version} has no SHA-512 integrity.`]),
      ...(deprecated === undefined || known.some((finding) => isOf(finding, name, version))
        ? []
        : [`${name}@${version} is deprecated: ${deprecated}`]),
    ]),
    ...known
      .filter((finding) => !installed.some(({ name, version = '' }) => isOf(finding, name, version)))
      .map(
        ({ package: name, version }) => `${name}@${version} is not installed any more: remove its finding.`,
      ),
    ...advisories
      .filter(({ package: name, id }) => {
        return !findings.accepted.some(
          (finding) => finding.package === name && finding.advisories?.includes(id),
        );
      })
      .map(({ package: name, id, title }) => `${name} has the advisory ${id}: ${title}`),
  ];
}

function isOf(finding: Finding, name: string, version: string): boolean {
  return finding.package === name && finding.version === version;
}

/** The advisories in the output of `npm audit --json`; undefined where the registry gave none. */
export function advisoriesOf(report: string): readonly Advisory[] | undefined {
  const { vulnerabilities } = JSON.parse(report) as {
    readonly vulnerabilities?: Readonly<
      Record<string, { readonly via: readonly (string | { url: string; name: string; title: string })[] }>
    >;
  };
  if (vulnerabilities === undefined) return undefined;
  return Object.values(vulnerabilities).flatMap(({ via }) =>
    via.flatMap((cause) =>
      typeof cause === 'string'
        ? []
        : [{ package: cause.name, id: cause.url.slice(cause.url.lastIndexOf('/') + 1), title: cause.title }],
    ),
  );
}

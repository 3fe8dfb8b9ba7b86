/**
 * The architecture, enforced: which folder may import which. A type import counts like any other.
 * `npm run docs` writes the table into CONTRIBUTING.md; test/architecture.test.ts compares the two.
 */

/** Bottom to top. Each folder may import its own files and what its row names, nothing else of this repository. */
export const layers = [
  ['src/util/', []],
  ['src/net/', []],
  ['src/filesystem/', ['src/observability/cause.ts']],
  ['src/observability/', ['src/net/', 'src/util/']],
  ['src/users/', ['src/observability/cause.ts', 'src/observability/event.ts', 'src/util/']],
  ['src/tls/', ['src/observability/cause.ts', 'src/observability/event.ts', 'src/util/']],
  ['src/s3/client/', ['src/filesystem/', 'src/observability/cause.ts', 'src/util/']],
  [
    'src/s3/*.ts',
    ['src/s3/client/', 'src/observability/cause.ts', 'src/observability/event.ts', 'src/util/'],
  ],
  [
    'src/s3/upload/',
    ['src/s3/*.ts', 'src/s3/client/', 'src/filesystem/', 'src/observability/cause.ts', 'src/util/'],
  ],
  [
    'src/s3/download/',
    ['src/s3/*.ts', 'src/s3/client/', 'src/filesystem/', 'src/observability/cause.ts', 'src/util/'],
  ],
  [
    'src/s3/filesystem/',
    [
      'src/s3/upload/',
      'src/s3/download/',
      'src/s3/*.ts',
      'src/s3/client/',
      'src/filesystem/',
      'src/users/',
      'src/util/',
    ],
  ],
  ['src/ftp/listing/', ['src/filesystem/', 'src/users/', 'src/observability/cause.ts']],
  [
    'src/ftp/data/',
    [
      'src/filesystem/',
      'src/net/',
      'src/tls/',
      'src/observability/cause.ts',
      'src/observability/event.ts',
      'src/util/',
    ],
  ],
  [
    'src/ftp/commands/',
    [
      'src/ftp/data/',
      'src/ftp/listing/',
      'src/filesystem/',
      'src/users/',
      'src/net/',
      'src/observability/cause.ts',
      'src/observability/event.ts',
      'src/util/',
    ],
  ],
  ['src/ftp/ftp-srv/', ['src/ftp/commands/filesystem-reply.ts', 'src/filesystem/']],
  [
    'src/ftp/control/',
    [
      'src/ftp/ftp-srv/',
      'src/ftp/commands/',
      'src/ftp/data/',
      'src/ftp/listing/',
      'src/filesystem/',
      'src/users/',
      'src/tls/',
      'src/net/',
      'src/observability/cause.ts',
      'src/observability/event.ts',
      'src/util/',
    ],
  ],
  [
    'src/ftp/*.ts',
    [
      'src/ftp/',
      'src/filesystem/',
      'src/users/',
      'src/tls/',
      'src/net/',
      'src/observability/cause.ts',
      'src/observability/event.ts',
    ],
  ],
  ['src/workers/', ['src/observability/', 'src/users/', 'src/util/']],
  ['src/config/', ['src/users/', 'src/net/', 'src/workers/shares.ts']],
  ['src/*.ts', ['src/']],
  ['dev/', ['src/*.ts', 'src/config/', 'src/users/', 'src/observability/', 'src/util/']],
  // The construct checks the variables that its users pass on.
  ['lib/', ['src/config/', 'src/workers/shares.ts']],
  ['bin/', ['lib/', 'src/users/']],
  ['bench/support/', ['src/', 'test/support/', 'dev/']],
  ['bench/peers/', ['bench/support/', 'src/', 'test/support/', 'dev/']],
  ['bench/comparison/', ['bench/support/', 'bench/peers/']],
  ['bench/report/', ['bench/comparison/', 'bench/support/']],
  ['bench/workloads/', ['bench/support/', 'bench/peers/', 'src/', 'test/support/']],
  ['bench/*.ts', ['bench/', 'src/', 'test/support/', 'dev/', 'scripts/table.ts']],
  ['scripts/', ['src/', 'lib/', 'dev/', 'test/']],
];

/** A package that only one part of the tree may import. */
const fencedPackages = [
  ['ftp-srv', ['^src/ftp/ftp-srv/', '^test/', '^bench/peers/stock-']],
  ['@aws-sdk/client-s3', ['^src/s3/', '^test/', '^bench/', '^dev/', '^scripts/']],
  ['undici', ['^src/s3/', '^test/', '^bench/']],
  [
    '@aws-sdk/client-secrets-manager',
    // Functions in lib/lambda are packaged without dependencies: the Lambda Node.js runtime provides the AWS SDK.
    ['^src/util/watched-document\\.ts$', '^lib/lambda/', '^test/', '^scripts/'],
  ],
];

/** A row's name as a pattern: `src/s3/*.ts` means the files of the folder itself, `src/s3/` all below it. */
function pattern(name) {
  if (name.endsWith('/*.ts')) return `^${name.slice(0, -4)}[^/]+\\.ts$`;
  return name.endsWith('/') ? `^${name}` : `^${name.replaceAll('.', '\\.')}$`;
}

const own = '^(?:src|dev|lib|bin|bench|scripts|test)/';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'Files that import each other cannot be understood, tested or moved one at a time.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...layers.map(([folder, imports]) => ({
      name: `layer ${folder}`,
      comment: `${folder} may import ${imports.join(', ') || 'nothing of this repository'}.`,
      severity: 'error',
      from: { path: pattern(folder) },
      to: { path: own, pathNot: [folder, ...imports].map(pattern) },
    })),
    ...fencedPackages.map(([name, from]) => ({
      name: `package ${name}`,
      comment: `Only ${from[0]} may import ${name}.`,
      severity: 'error',
      from: { path: own, pathNot: from },
      to: { path: `node_modules/${name}/` },
    })),
    {
      name: 'no-dev-dependencies-in-src',
      comment: 'src runs in production, where devDependencies are not installed.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'not-to-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};

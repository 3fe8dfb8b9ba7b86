import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

// Type-aware, because the rule that matters most in a server finds promises that are not awaited.
export default tseslint.config(
  { ignores: ['node_modules', 'cdk.out', 'dist', '.data', '.cache', 'coverage'] },
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-control-regex': 'off',
      eqeqeq: 'error',
    },
  },
  {
    // node:test's describe and it return promises that the runner itself awaits.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            {
              from: 'package',
              package: 'node:test',
              name: ['describe', 'it', 'test', 'suite', 'before', 'after'],
            },
          ],
        },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
      // A failing title is read without its describe: a sentence with a subject, so no title begins with a verb or 'that'.
      // Names of programs are the only lower-case words that begin one.
      'no-restricted-syntax': [
        'error',
        ...[
          'Literal:first-child[value=',
          'TemplateLiteral:first-child > TemplateElement:first-child[value.raw=',
        ].map((title) => ({
          selector: `CallExpression[callee.name=/^(it|test|scenario)$/] > ${title}/^(?!(curl|lftp|rclone|wget|npm) )[a-z]+ /]`,
          message: 'A test title is a sentence with a subject, as in "RETR sends an empty file".',
        })),
      ],
    },
  },
  { files: ['**/*.js', '**/*.mjs'], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ['lib/lambda/**/*.mjs'],
    languageOptions: { globals: { AbortSignal: false, Buffer: false, fetch: false, process: false } },
  },
);

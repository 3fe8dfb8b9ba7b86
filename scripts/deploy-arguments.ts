/** What `npm run deploy` must know of the arguments of `cdk deploy`. Pure. */

/**
 * The environment that `-c environment=NAME` selects in any form that the CDK's command line takes; the last one counts.
 * `production` if there is none.
 */
export function environmentIn(args: readonly string[]): string {
  let environment = 'production';
  args.forEach((arg, index) => {
    const isValue = /^(-c|--context)$/.test(args[index - 1] ?? '');
    const given = isValue ? arg : /^(?:-c=?|--context=)(.+)$/.exec(arg)?.[1];
    if (given?.startsWith('environment=') === true) environment = given.slice('environment='.length);
  });
  return environment;
}

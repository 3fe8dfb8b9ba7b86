/** `node --import`: takes aws-cdk-lib and constructs from the folder OLDEST_CDK instead of the repository's. */
import { registerHooks } from 'node:module';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const folder = pathToFileURL(`${process.env.OLDEST_CDK}/`).href;

registerHooks({
  resolve(specifier, context, nextResolve) {
    const isTheirs = context.parentURL?.startsWith(folder) === true;
    const isCdk = /^(aws-cdk-lib|constructs)(\/|$)/.test(specifier);
    return nextResolve(specifier, isCdk && !isTheirs ? { ...context, parentURL: folder } : context);
  },
});

/** The runtime of the functions in `lambda/`. */
import { Runtime, RuntimeFamily } from 'aws-cdk-lib/aws-lambda';

/** By its name: versions of aws-cdk-lib that have no constant for it can deploy it, too. */
export const nodeRuntime = new Runtime('nodejs24.x', RuntimeFamily.NODEJS);

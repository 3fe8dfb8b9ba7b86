/** Acknowledged findings of validation plugins such as cdk-nag, each where the resource is made. */
import * as cdk from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/**
 * States why a finding is no problem for the construct and what it holds. Without effect in versions of aws-cdk-lib before 2.257,
 * which have no such acknowledgements: the construct runs with them, and a finding is only reported.
 */
export function acknowledge(
  construct: IConstruct,
  finding: { readonly id: string; readonly reason: string },
): void {
  const { Validations } = cdk as Partial<Pick<typeof cdk, 'Validations'>>;
  Validations?.of(construct).acknowledge(finding);
}

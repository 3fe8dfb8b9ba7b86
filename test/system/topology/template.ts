/** A synthesised template as plain values: what CloudFormation would put where the template refers to something. */

export type Template = { readonly Resources: Readonly<Record<string, TemplateResource>> };

export type TemplateResource = {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
  readonly DependsOn?: string | readonly string[];
};

/** What a logical id, or one of its attributes (`Id.Attribute`), stands for. */
export type Lookup = (reference: string) => string;

/** Replaces every intrinsic function of a value. Throws for a function it does not know, so that nothing is guessed. */
export function resolve(value: unknown, lookup: Lookup): unknown {
  if (Array.isArray(value)) return value.map((item) => resolve(item, lookup));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  const [first] = entries;
  if (first !== undefined && entries.length === 1 && (first[0] === 'Ref' || first[0].startsWith('Fn::'))) {
    return resolveFunction(first[0], first[1], lookup);
  }
  return Object.fromEntries(entries.map(([name, inner]) => [name, resolve(inner, lookup)]));
}

function resolveFunction(name: string, argument: unknown, lookup: Lookup): unknown {
  switch (name) {
    case 'Ref':
      return lookup(argument as string);
    case 'Fn::GetAtt':
      return lookup((argument as readonly string[]).join('.'));
    case 'Fn::Join': {
      const [separator, parts] = argument as readonly [string, readonly unknown[]];
      return parts.map((part) => resolve(part, lookup)).join(separator);
    }
    case 'Fn::Sub':
      return (argument as string).replace(/\$\{([^}]+)\}/g, (_, reference: string) => lookup(reference));
    default:
      throw new Error(`The template uses ${name}, which this stand-in for CloudFormation does not know.`);
  }
}

/** The resources of a type, by logical id, in the order of the template. */
export function ofType(template: Template, type: string): readonly (readonly [string, TemplateResource])[] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
}

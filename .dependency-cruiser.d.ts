/** For each folder, bottom to top: which others it may import. */
export declare const layers: readonly (readonly [folder: string, imports: readonly string[]])[];

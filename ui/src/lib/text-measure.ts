/** Widths of text in one font: letters are measured once, and a text is the sum of them. Kerning is left out; it would cut a label a pixel early at most. */

export type MeasureText = (text: string) => number;

/** measureOne is the slow, exact way, such as a canvas's measureText. */
export function cachedMeasure(measureOne: MeasureText): MeasureText {
  const ascii = new Float64Array(128);
  const others = new Map<string, number>();
  return text => {
    let width = 0;
    for (let i = 0; i < text.length; i += 1) {
      const code = text.charCodeAt(i);
      if (code < 128) {
        if (ascii[code] === 0) ascii[code] = measureOne(text.charAt(i));
        width += ascii[code]!;
        continue;
      }
      const char = text.charAt(i);
      const known = others.get(char);
      // A name may hold any letter of Unicode; forgetting them all at once is cheaper than to keep an order of use.
      if (known === undefined && others.size > 4096) others.clear();
      const charWidth = known ?? measureOne(char);
      others.set(char, charWidth);
      width += charWidth;
    }
    return width;
  };
}

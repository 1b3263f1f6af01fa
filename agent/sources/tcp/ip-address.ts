/** IP addresses as text, from their bytes in memory as two little-endian 64-bit numbers. */

/** IPv4 in dots: the first four bytes of `low`. */
export function ipv4Text(low: bigint): string {
  return [0n, 8n, 16n, 24n].map(shift => Number((low >> shift) & 0xffn)).join('.');
}

/** The IPv4 address that an IPv6 socket talks to (::ffff:a.b.c.d); undefined for a real IPv6 address. */
export function mappedIpv4(high: bigint, low: bigint): string | undefined {
  return high === 0n && (low & 0xffff_ffffn) === 0xffff_0000n ? ipv4Text(low >> 32n) : undefined;
}

/** RFC 5952: lower case, without leading zeros, the first longest run of zero groups as "::". */
export function ipv6Text(high: bigint, low: bigint): string {
  const groups = [high, low].flatMap(half => [0n, 16n, 32n, 48n].map(shift => group(half >> shift)));
  const [start, length] = longestZeros(groups);
  const text = (part: readonly number[]): string => part.map(value => value.toString(16)).join(':');
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** Bytes are in network order. */
function group(value: bigint): number {
  return Number((value & 0xffn) << 8n) | Number((value >> 8n) & 0xffn);
}

function longestZeros(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  for (let start = 0; start < groups.length; start += 1) {
    let end = start;
    while (groups[end] === 0) end += 1;
    if (end - start > best[1]) best = [start, end - start];
  }
  return best;
}

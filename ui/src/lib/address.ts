/** The address of the page holds the whole state of the UI: which page, and the parameters of it. Read and written here, purely. */

export const pages = ['overview', 'flame', 'threads', 'traces', 'probes', 'agent'] as const;
export type PageName = (typeof pages)[number];

export interface Address {
  page: PageName;
  params: Readonly<Record<string, string>>;
}

/** Parameters that go with the user from page to page; all others belong to one page. */
export const sharedParams: readonly string[] = ['from', 'to', 'filter', 'theme'];

/** An unknown path is the Overview: an old link still shows the host. */
export function parseAddress(pathname: string, search: string): Address {
  const name = pathname.replace(/^\/|\/$/g, '');
  const page = pages.find(candidate => candidate === name) ?? 'overview';
  const params: Record<string, string> = {};
  for (const [key, value] of new URLSearchParams(search)) if (value !== '') params[key] = value;
  return { page, params };
}

export function formatAddress(address: Address): string {
  const query = Object.entries(address.params)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeValue(value)}`)
    .join('&');
  return (address.page === 'overview' ? '/' : `/${address.page}`) + (query === '' ? '' : `?${query}`);
}

/** A new address from an old one: undefined or '' takes a parameter away. Another page starts with the shared parameters only. */
export function changeAddress(
  from: Address,
  patch: { page?: PageName; params?: Readonly<Record<string, string | undefined>> },
): Address {
  const page = patch.page ?? from.page;
  const params: Record<string, string> = {};
  for (const [key, value] of Object.entries(from.params))
    if (page === from.page || sharedParams.includes(key)) params[key] = value;
  for (const [key, value] of Object.entries(patch.params ?? {})) {
    if (value === undefined || value === '') delete params[key];
    else params[key] = value;
  }
  return { page, params };
}

/** Readable where the standard allows it: an address is something that people read and paste. */
function encodeValue(value: string): string {
  return encodeURIComponent(value)
    .replace(/%20/g, '+')
    .replace(/%(3A|2F|2C|3D|3B|40|7E|3E|3C)/g, text => decodeURIComponent(text));
}

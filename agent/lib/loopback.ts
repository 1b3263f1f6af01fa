/** Addresses that only this host reaches. */

/** 127.0.0.0/8 and ::1. Names are not looked at: what they resolve to is the caller's matter. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address);
}

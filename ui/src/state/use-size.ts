/** Size of an element in CSS pixels, followed as it changes. */

import type { RefObject } from 'preact';
import { useLayoutEffect, useState } from 'preact/hooks';

export interface Size {
  width: number;
  height: number;
}

export function useSize(element: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const target = element.current;
    if (target === null) return undefined;
    const take = () => {
      const next = { width: target.clientWidth, height: target.clientHeight };
      setSize(before => (before.width === next.width && before.height === next.height ? before : next));
    };
    take();
    const observer = new ResizeObserver(take);
    observer.observe(target);
    return () => observer.disconnect();
  }, []);
  return size;
}

/**
 * Resources and scope of what is exported. The OTLP encoder groups by object identity, so one service is one Resource object for
 * as long as the worker lives.
 */

import { arch, hostname, release } from 'node:os';
import type { InstrumentationScope } from '@opentelemetry/core';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';

/** Semantic conventions that names and attributes follow; pinned, because several are still moving. */
export const schemaUrl = 'https://opentelemetry.io/schemas/1.44.0';

export const agentScope: InstrumentationScope = { name: 'hotspan', version: '0.1.0', schemaUrl };

const hostAttributes = {
  'host.name': hostname(),
  'host.arch': arch() === 'x64' ? 'amd64' : arch(),
  'os.type': 'linux',
  'os.version': release(),
};

/** Distinct services held; beyond it the cache starts again, which costs only some repeated resource headers. */
const maxResources = 10_000;

export class Resources {
  private readonly common: Readonly<Record<string, string>>;
  private readonly byKey = new Map<string, Resource>();

  /** `common`: attributes of OTEL_RESOURCE_ATTRIBUTES, put on every resource. */
  constructor(common: Readonly<Record<string, string>>) {
    this.common = common;
  }

  of(service: string, containerId: string): Resource {
    const key = `${service}\0${containerId}`;
    let resource = this.byKey.get(key);
    if (resource === undefined) {
      const container = containerId === '' ? {} : { 'container.id': containerId };
      resource = resourceFromAttributes(
        { ...hostAttributes, ...this.common, ...container, 'service.name': service },
        { schemaUrl },
      );
      if (this.byKey.size >= maxResources) this.byKey.clear();
      this.byKey.set(key, resource);
    }
    return resource;
  }
}

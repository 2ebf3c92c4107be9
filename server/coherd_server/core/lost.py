"""What cannot be served while a part of the store does not answer, in the words of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from coherd.catalog.catalog import Catalog
from coherd.contract.tags import domain_tag, resource_tag
from coherd_server.core.store import Store


class Lost(NamedTuple):
    """Each key needs the epochs of its domain and its resource, wherever the key itself lies."""

    nodes: Mapping[str, str] = {}
    """Addresses of primaries that do not answer, each with why."""
    domains: tuple[str, ...] = ()
    """Those of which no key can be read, set or invalidated by its domain."""
    resources: tuple[str, ...] = ()
    """Of the other domains: ``domain:resource``, of which no key can be read or set."""

    def of_domain(self, domain: str) -> bool:
        """Whether the domain as a whole is among them."""
        return domain in self.domains

    def of_resource(self, domain: str, resource: str) -> bool:
        """Whether the resource is among them, or its domain."""
        return domain in self.domains or resource_tag(domain, resource) in self.resources


def lost_in(store: Store, catalog: Catalog) -> Lost:
    """What cannot be served just now, as far as the process knows without asking."""
    if not store.lost(()).nodes:
        return Lost()
    resources = {
        resource_tag(domain.name, resource): domain.name
        for domain in catalog.domains.values()
        for resource in domain.resources
    }
    domains = {domain_tag(name): name for name in catalog.domains}
    nodes, tags = store.lost([*domains, *resources])
    lost = tuple(name for tag, name in domains.items() if tag in tags)
    return Lost(nodes, lost, tuple(tag for tag, name in resources.items() if tag in tags and name not in lost))

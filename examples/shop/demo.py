"""The shop's typed cache in use: ``python demo.py`` against
``coherd serve --catalog shop.binpb --listen 127.0.0.1:50052``.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "gen"))

import shop
from shop.v1 import shop_pb2

from coherd import CacheClient, CacheError, InvalidRequest


async def show(cache: CacheClient) -> None:
    """Fill, read and invalidate a few entries of every kind."""
    page = shop.Page(product=4711)
    await cache.set(page, shop_pb2.Product(number=4711, title="Teapot", labels=["new"]))
    product = await cache.get(page)
    print(f"{page!r} is {product.title if product else 'a miss'}")

    price = shop.Price(product=4711, currency="EUR", amount=10)
    await cache.set(price, shop_pb2.Money(currency="EUR", minor_units=19_900), ttl=datetime.timedelta(minutes=5))
    sales = shop.Sales(product=4711, date=datetime.date(2025, 8, 6))
    await cache.set(sales, {"sold": 0, "returned": 0})
    figures = await cache.get(sales)
    print(f"{sales} holds {figures}")

    carts = [shop.Cart(customer="ann", channel="web"), shop.Cart(customer="ann", channel=shop_pb2.CHANNEL_APP)]
    line = shop_pb2.CartContents.Line(product=4711, amount=2)
    await cache.set_many({cart: shop_pb2.CartContents(lines=[line]) for cart in carts})
    await cache.set(shop.Recommendations(customer="ann", sold_out=False), ["Cup", "Saucer"])
    found = await cache.get_many(carts)
    print(f"ann's carts: {[cart.channel for cart in carts if cart in found]}")

    await cache.set_nothing(shop.Page(product=4712))
    nothing = await cache.get(shop.Page(product=4712), default="a miss")
    print(f"product 4712: {nothing}")

    invalidated = await cache.invalidate(shop.Customer("ann"))
    found = await cache.get_many(carts)
    print(f"ann left: {', '.join(invalidated.tags)}; carts now: {found}")
    await cache.invalidate(shop.Product("4711"))
    product, figures = await cache.get(page), await cache.get(sales)
    print(f"product 4711 changed: page {product}, sales {figures}")

    counts = (await cache.metrics("shop"))["shop"]
    print(f"hits {counts.hits}, misses {counts.misses}, sets {counts.sets}, invalidations {counts.invalidations}")


async def main() -> None:
    """Connect as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="localhost:50052", metavar="HOST:PORT")
    options = parser.parse_args()
    try:
        async with CacheClient.connect(options.server) as cache:
            await show(cache)
    except InvalidRequest as error:
        sys.exit(f"{options.server} refuses: {error} (does it serve shop.binpb?)")
    except CacheError as error:
        sys.exit(f"the demo ended: {error}")


if __name__ == "__main__":
    asyncio.run(main())

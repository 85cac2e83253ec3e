"""Django's ORM: schema editor, transactions, iterators, locks, constraints, persistent connections."""

import datetime
import decimal
import os
import threading

import django
import tap
from django.conf import settings

DATABASE = {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
    "CONN_MAX_AGE": None, "TIME_ZONE": "Asia/Tokyo",
}
settings.configure(DATABASES={"default": DATABASE, "other": dict(DATABASE)}, USE_TZ=True,
                   INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
                   DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.postgres.fields import ArrayField  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import Error, IntegrityError, connection, connections, models, transaction  # noqa: E402
from django.db.models import Count, F, Sum  # noqa: E402

UTC = datetime.timezone.utc


class Order(models.Model):
    number = models.IntegerField(unique=True)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    placed_at = models.DateTimeField()
    tags = ArrayField(models.TextField())
    extra = models.JSONField(default=dict)
    picture = models.BinaryField(default=b"")

    class Meta:
        app_label, db_table = "auth", "dj_order"


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    amount = models.IntegerField()

    class Meta:
        app_label, db_table = "auth", "dj_line"


def order(number, **kw):
    return Order(number=number, total=decimal.Decimal(number) / 4, tags=["a", tap.HORSE],
                 placed_at=datetime.datetime(2024, 2, 29, 12, tzinfo=UTC), **kw)


@tap.case("connects, migrates, makes a schema")
def _():
    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)  # finds that all is done
    with connection.schema_editor() as editor:
        editor.execute("DROP TABLE IF EXISTS dj_line, dj_order")
        editor.create_model(Order)
        editor.create_model(Line)
        editor.add_index(Line, models.Index(fields=["amount"], name="dj_line_amount"))
    assert "dj_order" in connection.introspection.table_names()
    User.objects.filter(username="ann").delete()
    user = User.objects.create_user("ann", password="secret")
    user.groups.add(Group.objects.get_or_create(name="staff")[0])
    tap.same(["staff"], [group.name for group in User.objects.get(username="ann").groups.all()])


@tap.case("types; a session reads what it wrote")
def _():
    for number in range(1, 41):
        order(number, extra={"n": [number, None]}, picture=bytes(range(256))).save()
        found = Order.objects.get(number=number)
        tap.same((number, ["a", tap.HORSE], {"n": [number, None]}), (found.number, found.tags, found.extra))
    tap.same(bytes(range(256)), found.picture.tobytes())
    with connection.cursor() as cursor:  # Django has set it, once, when it connected
        cursor.execute("SELECT placed_at::text FROM dj_order WHERE number = %s", [found.number])
        tap.same("2024-02-29 21:00:00+09", cursor.fetchone()[0])


@tap.case("queries, bulk_create, update, delete")
def _():
    Order.objects.bulk_create([order(number) for number in range(1000, 3000)], batch_size=300)
    some = Order.objects.filter(number__gte=1000)
    Line.objects.bulk_create([Line(order=each, amount=each.number) for each in some[:100]])
    tap.same(100, Order.objects.annotate(n=Count("lines")).filter(n=1).count())
    tap.same(2000, some.update(total=F("total") + 1))
    tap.same(decimal.Decimal("1001750.00"), some.aggregate(s=Sum("total"))["s"])
    tap.same((1100, {"auth.Line": 100, "auth.Order": 1000}), some.filter(number__lt=2000).delete())
    tap.same([(2000,), (2001,)], list(some.order_by("number").values_list("number")[:2]))


@tap.case("transactions, savepoints, errors")
def _():
    with transaction.atomic():
        order(50).save()
        try:
            with transaction.atomic():
                order(50).save()
        except IntegrityError:
            order(51).save()
    try:
        with transaction.atomic():
            Order.objects.all().delete()
            raise ZeroDivisionError
    except ZeroDivisionError:
        tap.same(2, Order.objects.filter(number__in=(50, 51)).count())
    tap.fails("42P01", connection.cursor().execute, "SELECT * FROM nowhere")
    with transaction.atomic(using="other"):
        tap.same(2, Order.objects.using("other").filter(number__in=(50, 51)).count())


@tap.case("constraints that are looked at on commit")
def _():
    def orphan():
        with transaction.atomic():
            Line.objects.create(order_id=-1, amount=1)
    tap.fails("23503", orphan)
    with connection.constraint_checks_disabled():
        tap.same(0, Line.objects.filter(order_id=-1).count())


@tap.case("iterators, cursors of the server in and out of a transaction")
def _():
    for _ in range(2):
        tap.same(1000, sum(1 for _ in Order.objects.filter(number__gte=2000).iterator(chunk_size=70)))
    with transaction.atomic():
        tap.same(1000, sum(1 for _ in Order.objects.filter(number__gte=2000).iterator(chunk_size=70)))
    half = Order.objects.order_by("number").iterator(chunk_size=10)
    next(half)
    half.close()


@tap.case("locks between threads")
def _():
    def add():
        for _ in range(20):
            with transaction.atomic():
                locked = Order.objects.select_for_update().get(number=50)
                locked.total += 1
                locked.save()
        connections.close_all()
    before = Order.objects.get(number=50).total
    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with transaction.atomic():  # what others wrote is on the primary for certain
        tap.same(before + 120, Order.objects.get(number=50).total)


@tap.case("many sessions, one after another")
def _():
    for number in range(20):
        connections.close_all()
        tap.same(number % 2, Order.objects.filter(number=number % 2).count())


@tap.case("a restart of the servers")
def _():
    Order.objects.count()

    def interrupted():
        with transaction.atomic():
            order(90000).save()
            tap.restart()
            Order.objects.count()
    try:
        interrupted()
        raise AssertionError("the transaction outlived its server")
    except Error:
        django.db.close_old_connections()
    tap.same(0, Order.objects.filter(number=90000).count())
    if tap.POOLED:
        tap.same(0, Order.objects.using("other").filter(number=90000).count())


connections.close_all()
tap.done()

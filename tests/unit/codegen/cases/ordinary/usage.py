import datetime

import input_pb2
from input_coherd import BookByNumber, Day, Loans, Reader, Total

loans = Loans(reader="a:b", date=datetime.date(2025, 8, 6))
assert loans == "library:loans:reader:a%3Ab:date:20250806"
assert (loans.reader, loans.date) == ("a:b", datetime.date(2025, 8, 6))
assert repr(loans) == "Loans(reader='a:b', date='20250806')"
assert Loans.parse(str(loans)) == loans
book = BookByNumber(number=7)
assert (str(book), book.number) == ("library:book:number:7b", 7)
assert BookByNumber.codec.decode(BookByNumber.codec.encode(input_pb2.Book(title="t"))).title == "t"
assert Total() == "library:total"
assert Reader("r").value == "r"
assert Day(datetime.date(2025, 8, 6)).value == "20250806"

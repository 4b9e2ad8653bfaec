"""Names, numbers and addresses of the people whom help desk, marketing and sales write down.

Everything here is made from a customer's position and record, so that departments agree about a
person without sharing a random stream. None of it may reach the warehouse: it is there so that
privacy is exercised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_pipeline.demo.catalogue import FIRST_NAMES, LAST_NAMES

STREETS = ("Lindenstraße", "Am Müllerbach", "Rue de l'Église", "Kerkstraat", "Bahnhofplatz")
CHINESE_NAMES = ("王芳", "李伟", "张敏", "刘洋", "陈静", "杨帆")
PHONE_FORMS = (
    "+49 171 {a:03d} {b:04d}",
    "0171/{a:03d}{b:04d}",
    "0049-171-{a:03d}-{b:04d}",
    "(0171) {a:03d} {b:04d}",
    "+43 664 {a:03d} {b:04d}",
    "+41 79 {a:03d} {b:02.0f} 55",
    "+33 6 12 {a:03d} {b:04d}",
)
"""Ways in which people write a number: with and without country, with all sorts of marks."""


def phone(number: int, form: int) -> str:
    """Telephone number of the person with this number, written in one of several ways."""
    shape = PHONE_FORMS[form % len(PHONE_FORMS)]
    low = number % 100 if "02.0f" in shape else number % 10_000
    return shape.format(a=number // 10_000 % 1000, b=low)


@dataclass(frozen=True)
class Persons:
    """What a block's customers are called; one entry a customer.

    Attributes:
        number: Customer number.
        serial: Position in the whole company.
        full_name, email: As the person writes them.
    """

    number: np.ndarray
    serial: np.ndarray
    full_name: np.ndarray
    email: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, first: int) -> Persons:
        """The persons of a block whose first customer has the position ``first``."""
        serial = first + np.arange(len(numbers))
        names = []
        for i in serial.tolist():
            if i % 9 == 4:
                names.append(CHINESE_NAMES[i % len(CHINESE_NAMES)])
            else:
                given = FIRST_NAMES[i * 7 % len(FIRST_NAMES)]
                names.append(f"{given} {LAST_NAMES[i * 11 // 3 % len(LAST_NAMES)]}")
        mails = [f"{number.lower()}@example.com" for number in numbers]
        return cls(
            numbers, serial, np.asarray(names, dtype=object), np.asarray(mails, dtype=object)
        )

    def emails(self, who: np.ndarray) -> list[str]:
        """Addresses as typed: some in capitals, some with a blank."""
        typed = []
        for position, i in enumerate(who.tolist()):
            mail = self.email[i]
            typed.append(
                mail.upper() if position % 11 == 3 else f" {mail}" if position % 13 == 5 else mail
            )
        return typed

    def phones(self, who: np.ndarray) -> list[str]:
        """Telephone numbers, each time written as it comes."""
        return [phone(int(self.serial[i]) + 1000, at) for at, i in enumerate(who.tolist())]

    def streets(self, who: np.ndarray) -> list[str]:
        """Postal addresses."""
        return [
            f"{STREETS[int(self.serial[i]) % len(STREETS)]} {int(self.serial[i]) % 190 + 1}"
            for i in who.tolist()
        ]

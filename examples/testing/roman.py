"""Roman numerals, from 1 to 3999: what the tests of this example test."""

SIGNS = ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I")
VALUES = dict(zip(SIGNS, (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)))


def write(number: int) -> str:
    if not 1 <= number <= 3999:
        raise ValueError(f"{number} has no roman numeral")
    text = ""
    for sign, value in VALUES.items():
        text += sign * (number // value)
        number %= value
    return text


def read(text: str) -> int:
    number, rest = 0, text
    for sign, value in VALUES.items():
        while rest.startswith(sign):
            number, rest = number + value, rest[len(sign) :]
    if rest or not text or write(number) != text:
        raise ValueError(f"{text!r} is no roman numeral")
    return number

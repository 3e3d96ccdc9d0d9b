import unittest

import roman


class Write(unittest.TestCase):
    def test_subtracts_where_four_would_stand_in_a_row(self):
        self.assertEqual([roman.write(n) for n in (4, 9, 40, 90, 1994)], ["IV", "IX", "XL", "XC", "MCMXCIV"])

    def test_knows_its_bounds(self):
        for number in (0, 4000, -1):
            self.assertRaises(ValueError, roman.write, number)

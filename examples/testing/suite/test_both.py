import unittest

import roman


class Both(unittest.TestCase):
    def test_reading_undoes_writing(self):
        for number in range(1, 4000):
            self.assertEqual(roman.read(roman.write(number)), number)

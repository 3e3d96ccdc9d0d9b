import unittest

import roman


class Read(unittest.TestCase):
    def test_reads_what_romans_wrote(self):
        self.assertEqual([roman.read(text) for text in ("III", "XIV", "MMXXVI")], [3, 14, 2026])

    def test_refuses_what_they_did_not(self):
        for text in ("", "IIII", "VX", "IM", "abc"):
            self.assertRaises(ValueError, roman.read, text)

"""Readers: the files of a laboratory or a public dataset become a recording."""

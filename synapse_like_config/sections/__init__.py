"""The options, by topic. Each class is one section; each field is one option, declared once.

A field's name is the option's name in the file. Its type says how it is read, its comment is what `generate-config`
writes. To add one: the field, and pass its value to the one part of the server that wants it (`homeserver/app.py`).
"""

import re
import shlex

from kit import processes
from kit.scope import check


class Help:
    """What `lanyard WORDS --help` prints, and what stands below it."""

    def __init__(self, words):
        self.words = words
        done = processes.run(["lanyard", *words, "--help"])
        check.assertEqual((done.returncode, done.stderr), (0, ""), words)
        self.options, _, self.examples = done.stdout.partition("Examples:\n")
        _, _, listed = self.options.partition("Subcommands:\n")
        self.children = {name: Help([*words, name]) for name in re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)}

    def has(self, option):
        return re.search(rf"(^|[\s,]){re.escape(option)}(?![\w-])", self.options) is not None

    def all(self):
        return [self, *(help for child in self.children.values() for help in child.all())]


def commands_in(examples):
    """The words after each `lanyard` of an example."""
    for line in examples.replace("\\\n", " ").splitlines():
        if not re.search(r"(^|\s)lanyard\s", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for start in (i + 1 for i, word in enumerate(words) if word == "lanyard"):
            end = next((i for i in range(start, len(words)) if words[i] in ("|", ">", ";")), len(words))
            yield words[start:end]


def test(_scope):
    root = Help([])
    check.assertIn("entry", root.children)
    for help in root.all():
        check.assertTrue(help.examples.startswith("  "), f"lanyard {help.words}: no example")
        shown = []
        for words in commands_in(help.examples):
            command, rest = root, list(words)
            while rest and rest[0] in command.children:
                command = command.children[rest.pop(0)]
            shown.append(command)
            check.assertEqual(command.children, {}, f"{help.words}: {words} is not a whole command")
            unknown = [word for word in rest if re.match(r"--?[a-z]", word) and not command.has(word.partition("=")[0])]
            check.assertEqual(unknown, [], f"{help.words}: {words}")
        check.assertTrue(any(command in help.all() for command in shown), f"{help.words}: shows others only")

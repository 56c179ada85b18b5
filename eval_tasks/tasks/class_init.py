"""In `__init__`, assign the argument to the attribute of the same name."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="the name after `self.x =`: the argument that has the attribute's name",
    answers=(" $name1", " $name2"),
    single=(".$name1", ".$name2"),
    everywhere=("name1", "name2"),
    templates='''
...
class $class:
    def __init__(self, $name1, $name2):
        self.{{$name1|$name2}} ={{answer}}
---
class $class:
    """$class $text."""
    def __init__(self, $name2, $name1):
        self.{{$name1|$name2}} ={{answer}}
---
...
class $class:
    def __init__(self, $name3, $name1, $name2):
        self.$name3 = $name3
        self.{{$name1|$name2}} ={{answer}}
---
class $class:
    def __init__(self, $name2, $name3, $name1):
        self.$name3 = $name3
        self.{{$name1|$name2}} ={{answer}}
---
...
class $class:
    def __init__(self, $name1, $thing, $name2=None):
        self.$thing = $thing
        self.{{$name1|$name2}} ={{answer}}
---
class $class:
    def __init__(self, $flag, $name2=None, $name1=None):
        self.$flag = $flag
        self.{{$name1|$name2}} ={{answer}}
---
class $class($class2):
    def __init__(self, $name2, $name1, ${thing}s):
        self.${thing}s = ${thing}s
        self.{{$name1|$name2}} ={{answer}}
---
...
class $class:
    def __init__(self, $name1, $name2, $name3):
        self.${thing}s = []
        self.{{$name1|$name2}} ={{answer}}
''',
)

# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Goroutines in gdb: in a live process and in a core, also those that wait and have no thread.

    (gdb) source .../hamgam-gdb.py
    (gdb) info goroutines
    (gdb) goroutine 18 bt
    (gdb) goroutine all bt
    (gdb) goroutine 18
    (gdb) info locals

No code is run in the process, and no register is written, so a core will do. It needs no debug
information of the library: `hamgam_debug_layout` in it (src/sched/debug_layout.h) says where all is.

How a goroutine that waits gets into a backtrace. While one is looked at, an unwinder says of the
innermost frame of the selected thread that it was called from where the goroutine's registers were
saved: gdb does the rest as ever. A frame filter leaves the thread's own frame out, so that backtraces
begin with frame 1.
"""
import functools
import re
import struct
import time

import gdb
from gdb.FrameDecorator import FrameDecorator
from gdb.unwinder import Unwinder, register_unwinder

VERSION = 1
HEADER = "<8sQQ5Q"
FIELDS = ("slab_next slab_records records_in_slab record_size id invoke stack extras created_at "
          "created_by wait_reason saved tells_when_saved stack_bottom stack_size note_object note_since "
          "name name_is_text current in_blocking thread_id resume_bytes").split()
REGISTER, MOST_REGISTERS = "<8sQ", 8

NO_STACK = "its stack is not in the core"  # what gdb's own gcore writes has holes
MANY = 100           # so many are listed one by one
SHOWN_IDS = 8
MOST_RECORDS = 1 << 26
MOST_WORKERS = 1 << 15
MOST_FRAMES = 64
MOST_LOOKS = 400     # stacks that gdb unwinds for one list: a millisecond each
WINDOW = 512         # bytes of each stack that are read first
SHOWN_AGE = 10       # seconds
BOTTOM = re.compile(r"hamgam_fiber_(start|entry)$|hamgam::.*(run|invoke)_closure")
LIBRARY = re.compile(r"(hamgam::|std::|__gnu_cxx::|hamgam_)")
LIBRARIES = re.compile(r"/(libc|libpthread|libstdc\+\+|libgcc_s|libhamgam|ld-linux[^/]*)\.so[^/]*$")
OTHERS = re.compile(r"/include/(c\+\+|hamgam)/")
APART = 1 << 63      # in the address of what is waited for: a second thing to wait for there


def read(address, size):
    return gdb.selected_inferior().read_memory(address, size).tobytes()


def number(address, kind="Q"):
    return struct.unpack("<" + kind, read(address, struct.calcsize(kind)))[0]


def text(address, most=128):
    """A string of C."""
    found = bytearray()
    while len(found) < most:
        # Not over the end of a page: what is behind may not be readable.
        part = read(address + len(found), min(32, 4096 - (address + len(found)) % 4096))
        end = part.find(b"\0")
        found += part if end < 0 else part[:end]
        if end >= 0:
            break
    return found.decode(errors="replace")


class Damaged(Exception):
    """What is read makes no sense."""


class Layout:
    """What hamgam_debug_layout says."""

    def __init__(self):
        if gdb.selected_thread() is None:
            raise gdb.GdbError("There is no process and no core to look at.")
        try:
            address = int(gdb.parse_and_eval("(unsigned long)&hamgam_debug_layout"))
        except gdb.error:
            raise gdb.GdbError(
                "No symbol hamgam_debug_layout: the program does not use Hamgam, has not loaded it yet, "
                "or was stripped (have gdb find the file with its symbols: help symbol-file).") from None
        try:
            data = read(address, 4096 - address % 4096 if 4096 - address % 4096 > 512 else 512)
        except gdb.MemoryError:
            raise gdb.GdbError("hamgam_debug_layout can't be read: was the core cut?") from None
        magic, version, size, self.slabs, self.places, self.place_count, self.note_distance, \
            self.coarse_clock = struct.unpack_from(HEADER, data)
        if not magic.startswith(b"hamgam") or version != VERSION:
            raise gdb.GdbError(f"This script is for version {VERSION} of hamgam_debug_layout, but the "
                               f"library has {version}: use the script that came with the library.")
        at = struct.calcsize(HEADER)
        for name, value in zip(FIELDS, struct.unpack_from(f"<{len(FIELDS)}Q", data, at)):
            setattr(self, name, value)
        at += 8 * len(FIELDS)
        registers = [struct.unpack_from(REGISTER, data, at + i * struct.calcsize(REGISTER))
                     for i in range(MOST_REGISTERS)]
        self.registers = [(name.rstrip(b"\0").decode(), offset)
                          for name, offset in registers if name.strip(b"\0")]
        if size != at + MOST_REGISTERS * struct.calcsize(REGISTER):
            raise gdb.GdbError("hamgam_debug_layout is damaged.")


class Goroutine:
    """What stands in its record. `thread`: the one it is on, if it is on any."""

    def __init__(self, layout, address, record):
        def word(offset):
            return struct.unpack_from("<Q", record, offset)[0]

        self.address = address
        self.id = word(layout.id)
        self.invoke = word(layout.invoke)
        self.stack = word(layout.stack)
        self.extras = word(layout.extras)
        self.created_at = word(layout.created_at)
        self.created_by = word(layout.created_by)
        self.reason = word(layout.wait_reason)
        self.saved = not layout.tells_when_saved or record[layout.saved] != 0
        self.registers = [(name, word(offset)) for name, offset in layout.registers]
        self.thread = None
        self.running = False
        self.state = ""
        self.since = 0
        self.object = None

    @property
    def pointer(self):
        return self.registers[0][1]

    @property
    def goes_on_at(self):
        return self.registers[1][1]

    @property
    def frame(self):
        return self.registers[2][1]

    def can_be_seen(self):
        return self.thread is not None or (
            self.stack != 0 and not self.running and len(self.registers) > 2 and self.pointer != 0)


class Threads:
    """The stack pointers of those that gdb knows."""

    def __init__(self):
        self.by_system = {}
        self.pointers = []
        before = gdb.selected_thread()
        level = selected_level()
        try:
            for thread in gdb.selected_inferior().threads():
                if not thread.is_valid() or thread.is_running():
                    continue
                thread.switch()
                self.by_system[thread.ptid[1]] = thread
                self.pointers.append((int(gdb.newest_frame().read_register("sp")), thread))
        finally:
            before.switch()
            select_level(level)

    def on(self, layout, goroutine):
        """The one that stands on its stack."""
        if goroutine.stack == 0:
            return None
        bottom = number(goroutine.stack + layout.stack_bottom)
        size = number(goroutine.stack + layout.stack_size)
        for pointer, thread in self.pointers:
            if bottom <= pointer < bottom + size:
                return thread
        return None


class Process:
    """All goroutines, by their ids. `damage`: why there may be more."""

    def __init__(self):
        view.leave()
        self.layout = Layout()
        self.damage = None
        self.reasons = {}
        self.goroutines = []
        self.distance = number(self.layout.note_distance, "q") if self.layout.note_distance else 0
        try:
            self._read_records()
        except gdb.MemoryError as error:
            self.damage = str(error)
        except Damaged as error:
            self.damage = str(error)
        self.goroutines.sort(key=lambda g: g.id)
        self._find_threads()
        for goroutine in self.goroutines:
            self._tell_state(goroutine)
        self.now = self._now()

    def _read_records(self):
        layout = self.layout
        size, count = layout.record_size, layout.records_in_slab
        if not 0 < size * count <= 1 << 24:
            raise Damaged("the size of a record is nonsense")
        seen = set()
        slab = number(layout.slabs)
        while slab != 0:
            if slab in seen or len(seen) * count > MOST_RECORDS:
                raise Damaged(f"it comes back to {slab:#x}")
            seen.add(slab)
            data = read(slab + layout.slab_records, size * count)
            for i in range(count):
                record = data[i * size:(i + 1) * size]
                if struct.unpack_from("<Q", record, layout.id)[0] != 0:
                    address = slab + layout.slab_records + i * size
                    self.goroutines.append(Goroutine(layout, address, record))
            slab = number(slab + layout.slab_next)

    def _find_threads(self):
        layout = self.layout
        threads = Threads()
        by_address = {g.address: g for g in self.goroutines}
        try:
            count = min(number(layout.place_count, "I"), MOST_WORKERS)
            workers = struct.unpack(f"<{count}Q", read(layout.places, 8 * count)) if count else ()
            for worker in filter(None, workers):
                goroutine = by_address.get(number(worker + layout.current))
                if goroutine is None:
                    continue
                goroutine.running = True
                goroutine.state = "blocking" if number(worker + layout.in_blocking, "B") else "running"
                # In a namespace the thread has another number; on a signal's stack, another pointer.
                goroutine.thread = threads.on(layout, goroutine) or threads.by_system.get(
                    number(worker + layout.thread_id, "i"))
        except gdb.MemoryError as error:
            self.damage = self.damage or f"workers: {error}"
        for goroutine in self.goroutines:
            if not goroutine.saved and not goroutine.running and goroutine.stack != 0:
                try:  # it may be about to leave its stack
                    goroutine.thread = threads.on(layout, goroutine)
                except gdb.MemoryError:
                    pass

    def _tell_state(self, goroutine):
        reason = goroutine.reason
        if reason == 0:
            goroutine.state = goroutine.state or "runnable"
            return
        if reason not in self.reasons:
            try:
                self.reasons[reason] = text(reason)
            except gdb.MemoryError:
                self.reasons[reason] = "waiting"
        goroutine.state = self.reasons[reason]
        if goroutine.running or not goroutine.saved or self.distance == 0:
            return
        note = goroutine.frame - self.distance
        try:
            data = read(note, 16)
        except gdb.MemoryError:
            return
        place = struct.unpack_from("<Q", data, self.layout.note_object)[0]
        goroutine.since = struct.unpack_from("<q", data, self.layout.note_since)[0]
        if place != 0 and goroutine.state not in ("sleep", "IO wait"):
            place &= ~APART
            goroutine.object = place & ~3 if goroutine.state.startswith("sync.RWMutex") else place

    def _now(self):
        """On the process's clock. A core has no other than what the process looked at last."""
        last = max([number(self.layout.coarse_clock, "q")] + [g.since for g in self.goroutines])
        try:
            live = gdb.selected_inferior().connection.type == "native"
        except AttributeError:  # gdb before 12
            live = False
        here = time.monotonic_ns()
        return here if live and here > last else last

    def name(self, goroutine):
        if goroutine.extras == 0 or not self.layout.name_is_text:
            return ""
        try:
            begin, length = struct.unpack("<QQ", read(goroutine.extras + self.layout.name, 16))
            return read(begin, min(length, 128)).decode(errors="replace")
        except gdb.MemoryError:
            return ""

    def age(self, goroutine):
        """In seconds; 0: not known."""
        return (self.now - goroutine.since) // 10**9 if goroutine.since != 0 else 0

    def find(self, wanted):
        for goroutine in self.goroutines:
            if goroutine.id == wanted:
                return goroutine
        raise gdb.GdbError(f"There is no goroutine {wanted}." + (
            f" (The list of goroutines is damaged: {self.damage}.)" if self.damage else ""))

    def header(self, goroutine):
        name = self.name(goroutine)
        return (f"goroutine {goroutine.id} [{goroutine.state}{age_text(self.age(goroutine))}]:"
                f"{' ' + name if name else ''}")

    def complain(self):
        if self.damage:
            raise gdb.GdbError(f"The list of goroutines is damaged: {self.damage}. "
                               f"{len(self.goroutines)} were found, there may be more.")


def age_text(seconds):
    if seconds < SHOWN_AGE:
        return ""
    if seconds < 60:
        return f", {seconds} seconds"
    return f", {seconds // 60} minute{'' if seconds < 120 else 's'}"


# ---- looking at one ---------------------------------------------------------------------------


def selected_level():
    """Of the selected frame; None if there is none."""
    try:
        level, frame = 0, gdb.selected_frame()
        while frame.newer() is not None:
            level, frame = level + 1, frame.newer()
        return level
    except gdb.error:
        return None


def select_level(level):
    if level is None:
        return
    frame = gdb.newest_frame()
    for _ in range(level):
        frame = frame.older() or frame
    frame.select()


class FrameId:
    def __init__(self, sp, pc):
        self.sp = gdb.Value(sp).cast(gdb.lookup_type("unsigned long"))
        self.pc = gdb.Value(pc).cast(gdb.lookup_type("unsigned long"))


class GoroutineUnwinder(Unwinder):
    """See the head of this file."""

    def __init__(self):
        super().__init__("hamgam-goroutine")

    def __call__(self, pending):
        if view.registers is None:
            return None
        pc = int(pending.read_register("pc"))
        if int(pending.read_register("sp")) != view.thread_pointer or pc != view.thread_at:
            return None
        info = pending.create_unwind_info(FrameId(view.registers[0][1], pc))
        for name, value in view.registers:
            kind = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info


class Call(FrameDecorator):
    """As gdb shows it without filters: no types behind the name."""

    def function(self):
        return self.inferior_frame().name() or super().function()


class GoroutineFilter:
    """Leaves out what is the thread's own."""

    def __init__(self):
        self.name = "hamgam-goroutine"
        self.priority = 1000
        self.enabled = False
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        seen = False
        for frame in frames:
            seen = seen or frame.inferior_frame().pc() == view.at
            if seen:
                yield Call(frame)


class View:
    """Which goroutine is looked at. `registers`: None if it is one with a thread, or none."""

    def __init__(self):
        self.filter = GoroutineFilter()
        self.registers = None
        self.thread = None
        self.before = None
        self.at = self.thread_at = self.thread_pointer = 0

    def enter(self, layout, goroutine):
        """Selects its innermost frame."""
        self.leave()
        if not goroutine.can_be_seen():
            why = "runs on a thread that gdb does not know" if goroutine.running else "has not begun yet"
            raise gdb.GdbError(f"Goroutine {goroutine.id} {why}.")
        self.before = (gdb.selected_thread(), selected_level())
        if goroutine.thread is not None:
            goroutine.thread.switch()
            gdb.newest_frame().select()
            return
        try:
            if not any(read(goroutine.pointer, 64)):
                raise gdb.GdbError(f"Goroutine {goroutine.id}: {NO_STACK}.")
        except gdb.MemoryError:
            raise gdb.GdbError(f"The stack of goroutine {goroutine.id} can't be read.") from None
        registers = list(goroutine.registers)
        # What is called returns behind the call, and so gdb looks for the byte before it.
        self.at = goroutine.goes_on_at + layout.resume_bytes
        registers[1] = (registers[1][0], self.at)
        innermost = gdb.newest_frame()
        self.thread_at = int(innermost.read_register("pc"))
        self.thread_pointer = int(innermost.read_register("sp"))
        self.registers = registers
        self.filter.enabled = True
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        while frame is not None and frame.pc() != self.at:
            frame = frame.older()
        if frame is None:
            self.leave()
            raise gdb.GdbError(f"The stack of goroutine {goroutine.id} can't be read.")
        frame.select()

    def leave(self):
        """Back to what was selected before."""
        if self.before is None:
            return
        (thread, level), self.before = self.before, None
        self.drop()
        if thread is not None and thread.is_valid():
            thread.switch()
            try:
                select_level(level)
            except gdb.error:
                pass  # it runs

    def drop(self, *_):
        """The process goes on, or is no more."""
        self.before = None
        self.filter.enabled = False
        if self.registers is not None:
            self.registers = None
            gdb.invalidate_cached_frames()


# ---- where they are ---------------------------------------------------------------------------


def with_line(name, place):
    """function at file:line"""
    if place.symtab is None:
        return name
    return f"{name} at {file_of(place.symtab)}:{place.line}"


def file_of(symtab):
    return symtab.filename.rsplit("/", 1)[-1]


def describe(frame):
    return with_line(frame.name() or f"{frame.pc():#x}", frame.find_sal())


def describe_call(address):
    """Where a goroutine was created, by the return address; empty if that is nobody's but ours."""
    if address == 0:
        return ""
    block = gdb.block_for_pc(address - 1)
    if block is None:
        symbol = gdb.execute(f"info symbol {address - 1:#x}", to_string=True)
        if symbol.startswith("No symbol"):
            return f"{address:#x}"
        name = re.sub(r"( \+ \d+)? in section .*\n?", "", symbol)
        return "" if LIBRARY.match(name) else name
    inlined = False
    while block is not None and (block.function is None or LIBRARY.match(block.function.name)
                                 or is_in_librarys_file(block.function)):
        inlined = inlined or block.function is not None
        block = block.superblock
    if block is None:
        return ""
    function = block.function
    name = re.sub(r"(?<!operator)\(.*", "", function.name.replace("(anonymous namespace)::", ""))
    if inlined:  # gdb does not tell the line of the call: that of the function, if it has one
        return f"{name} at {file_of(function.symtab)}:{function.line}" if function.line else name
    return with_line(name, gdb.find_pc_line(address - 1))


def symbol_at(address):
    value = gdb.Value(address).cast(gdb.lookup_type("char").pointer().pointer())
    return value.format_string(format="a")


def full_name(frame):
    """With where a lambda stands, which gdb leaves out."""
    name = frame.name()
    if name == "operator()" and frame.type() != gdb.INLINE_FRAME:
        symbol = gdb.execute(f"info symbol {frame.pc():#x}", to_string=True)
        return name if symbol.startswith("No symbol") else symbol
    return name


def is_in_librarys_file(function):
    """Where there is little debugging information (-g1), and of lambdas, gdb leaves out the namespace."""
    if function is None or function.symtab is None:
        return False
    path = function.symtab.fullname()
    ours = librarys_folder(function.symtab.objfile.progspace, len(gdb.objfiles()))
    return OTHERS.search(path) is not None or ours is not None and path.startswith(ours)


@functools.lru_cache(maxsize=4)
def librarys_folder(_program, _loaded):
    """Where its source was; or None. It is asked of each frame: all symbols of all files are looked through."""
    layout = gdb.lookup_global_symbol("hamgam_debug_layout")  # none: without debugging information
    if layout is None or layout.symtab is None:
        return None
    path = layout.symtab.fullname()
    return path.removesuffix("sched/goroutine.cpp") if path.endswith("/sched/goroutine.cpp") else None


def is_library(frame):
    """Is it the function of a library that many programs use?"""
    name = full_name(frame)
    return name is None or LIBRARY.match(name) is not None or \
        LIBRARIES.search(gdb.solib_name(frame.pc()) or "") is not None or is_in_librarys_file(frame.function())


def frames_of_user():
    """From the selected frame on: those up to the first that is none of a library's, or, if there is
    none, the first that is not our inside."""
    frames, fallback = [], None
    frame = gdb.selected_frame()
    while frame is not None and len(frames) < MOST_FRAMES:
        name = full_name(frame) or ""
        if BOTTOM.match(name) and frames:
            break
        frames.append(frame)
        if not is_library(frame):
            return frames
        if fallback is None and "hamgam" not in name.split("::detail::")[0]:
            fallback = len(frames)
        frame = frame.older()
    return frames[:fallback or 1]


class Whereabouts:
    """Where goroutines are, as text. gdb's unwinding takes a millisecond or more, and most of many
    goroutines wait at few places: one whose stack has the same return addresses at the same places
    as that of another one, up to the frame that is shown, is there too."""

    def __init__(self, layout):
        self.layout = layout
        self.looks = 0
        self.window = WINDOW
        self.known = {}  # (where it goes on, size of its frame): [(return addresses, text)]

    def of(self, goroutine):
        if not goroutine.can_be_seen():
            return "not begun" if not goroutine.running else "?"
        if goroutine.thread is not None:
            return self._look(goroutine)[0]
        key = (goroutine.goes_on_at, goroutine.frame - goroutine.pointer)
        stack = self._stack(goroutine)
        if not any(stack):
            return NO_STACK
        for returns, where in self.known.get(key, ()):
            if all(stack[at:at + 8] == address for at, address in returns):
                return where
        where, returns = self._look(goroutine)
        if returns is not None:
            self.known.setdefault(key, []).append((returns, where))
        return where

    def _stack(self, goroutine):
        pointer = goroutine.pointer
        to_page = 4096 - pointer % 4096
        for size in (self.window, to_page, 64):
            try:
                return read(pointer, size)
            except gdb.MemoryError:
                continue
        return b""

    def _look(self, goroutine):
        if self.looks == MOST_LOOKS:
            return "...", None
        self.looks += 1
        try:
            view.enter(self.layout, goroutine)
            try:
                frames = frames_of_user()
                where = describe(frames[-1])
                if goroutine.thread is not None:
                    return where, None
                return where, self._returns(goroutine, frames)
            finally:
                view.leave()
        except gdb.GdbError:
            raise
        except gdb.error as error:
            return f"? ({error})", None

    def _returns(self, goroutine, frames):
        """[(where in the stack, return address)] of the frames; None: they can't be told."""
        returns, at = [], 0
        pc = frames[0].pc()
        for frame in frames[1:]:
            if frame.pc() == pc:
                continue  # inlined
            pc = frame.pc()
            address = struct.pack("<Q", pc)
            need = int(frame.read_register("sp")) - goroutine.pointer
            if need > 1 << 14:
                return None
            self.window = max(self.window, need)
            stack = self._stack(goroutine)
            if goroutine.registers[0][0] == "rsp":
                at = need - 8
            else:
                at = stack.find(address, at)
            if at < 0 or stack[at:at + 8] != address:
                return None
            returns.append((at, address))
        return returns


# ---- commands ---------------------------------------------------------------------------------


class InfoGoroutines(gdb.Command):
    """All goroutines: number, state, since when, where, and what for.
Usage: info goroutines [-each | -group] [TEXT]
-each has a line for each; -group one for those that do the same at the same place. Without one of
them, they are grouped if there are more than 100. With TEXT: those whose line has it.
* is the one that the selected thread runs."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        options = re.match(r"\s*(-each|-group|)(?:\s+|$)(.*)", argument) or re.match("()(.*)", argument)
        process = Process()
        mode = options.group(1)
        group = mode == "-group" or (mode == "" and len(process.goroutines) > MANY)
        selected = gdb.selected_thread()
        whereabouts = Whereabouts(process.layout)
        self.objects, self.calls = {}, {}
        lines = {}
        for g in process.goroutines:
            here = g.thread is not None and g.thread.num == selected.num
            state = g.state + (f" on thread {g.thread.num}" if g.thread is not None else "")
            key = (here, state, whereabouts.of(g), process.name(g), g.created_at, g.object)
            lines.setdefault(key[:-1] if group else key + (g.id,), []).append(g)
        rows = []
        for key, members in lines.items():
            here, state, where, name, created_at = key[:5]
            age = max(process.age(g) for g in members)
            least = min(process.age(g) for g in members)
            aged = age_text(age).replace(", ", ", up to " if age_text(least) != age_text(age) else ", ")
            ids = ", ".join(str(g.id) for g in members[:SHOWN_IDS])
            if len(members) > SHOWN_IDS:
                ids += f" ... ({len(members)} in all)"
            what = where
            if members[0].object is not None and all(g.object == members[0].object for g in members):
                what += f", waits for {self._object(members[0].object)}"
            by = {g.created_by for g in members}
            if by != {0}:
                what += f", created by {by.pop() if len(by) == 1 else 'several'}"
            if self._call(created_at):
                what += f"{', created' if by == {0} else ''} in {self._call(created_at)}"
            rows.append(("*" if here else " ", ids, state + aged, name, what))
        rows = [row for row in rows if options.group(2).strip() in " ".join(row)]
        if rows:
            widths = [min(40, max(len(row[i]) for row in rows)) for i in (1, 2)]
            print(f"  {'Id':<{widths[0]}}  {'State':<{widths[1]}}  Where")
            for star, ids, state, name, what in rows:
                name = f'"{name}" ' if name else ""
                print(f"{star} {ids:<{widths[0]}}  {state:<{widths[1]}}  {name}{what}")
        else:
            print("No goroutines." if not process.goroutines else "None of them.")
        process.complain()

    def _object(self, address):
        if address not in self.objects:
            self.objects[address] = symbol_at(address)
        return self.objects[address]

    def _call(self, address):
        if address not in self.calls:
            self.calls[address] = describe_call(address)
        return self.calls[address]


class GoroutineCommand(gdb.Command):
    """Look at goroutines, also at those that wait.
Usage: goroutine NUMBER[,NUMBER...] COMMAND
       goroutine all COMMAND
       goroutine NUMBER
       goroutine off
With a COMMAND of gdb, such as `bt' or `frame apply all info locals', that is done where each of them
is. With a number alone its innermost frame is selected, for any commands that look and do not run
the process; until `goroutine off', or the process goes on."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        which, _, command = argument.strip().partition(" ")
        command = command.strip()
        if which == "off":
            view.leave()
            return
        if not re.fullmatch(r"all|\d+(,\d+)*", which) or (which == "all" and not command):
            raise gdb.GdbError("Usage: goroutine NUMBER[,NUMBER...]|all COMMAND; goroutine NUMBER|off")
        process = Process()
        if which == "all":
            chosen = process.goroutines
        else:
            chosen = [process.find(int(number)) for number in which.split(",")]
        if not command:
            view.enter(process.layout, chosen[-1])
            print(process.header(chosen[-1]))
            gdb.execute("frame", from_tty)
            return
        for goroutine in chosen:
            print(("\n" if goroutine is not chosen[0] else "") + process.header(goroutine))
            try:
                view.enter(process.layout, goroutine)
                gdb.execute(command, from_tty)
            except gdb.error as error:
                if which != "all":
                    raise
                print(error)
            finally:
                view.leave()
        if which == "all":
            process.complain()


view = View()
register_unwinder(None, GoroutineUnwinder(), replace=True)
gdb.events.cont.connect(view.drop)
gdb.events.exited.connect(view.drop)
InfoGoroutines()
GoroutineCommand()

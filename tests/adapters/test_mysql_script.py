"""The text of a dump, whatever stands in it and however it is cut."""

from __future__ import annotations

import pytest

from adapters.database.mysql.code import Code
from adapters.database.mysql.parts import Parts
from adapters.database.mysql.script import HEADER, Inspection, Loading
from core.errors import DumpError

BEGIN = b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n\n"
CODE = b"DELIMITER ;;\nCREATE DEFINER=`a`@`b` PROCEDURE `p`()\nINSERT INTO `t` VALUES\n(1),\n(2);;\nDELIMITER ;\n"
EVENTS = b"-- Dumping events for database 's'\nDELIMITER ;;\n/*!50106 CREATE*/ EVENT ;;\nDELIMITER ;\n"
ROUTINES = b"-- Dumping routines for database 's'\n"
END = b"\n-- Dump completed on 2026-11-24 17:39:16\n"
DUMP = (
    BEGIN + b"CREATE TABLE `t` (\n);\nINSERT INTO `t` VALUES\n(1,'a\\n);\\n(b'),\n(2,'DELIMITER ;;');\n"
    b"INSERT INTO `t` (`a``b`) VALUES\n(3,'INSERT INTO `u` VALUES');\n" + CODE +
    b"CREATE TABLE `o``d` (\n);\nCREATE TABLE `u` (\n);\nINSERT INTO `o``d` VALUES\n(1);\n" + EVENTS + ROUTINES + END
)  # fmt: skip
CODED = (
    b"/*!50001 CREATE VIEW `v` AS SELECT\n 1 AS `a` */;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ "
    b"/*!50003 trigger g BEFORE INSERT ON t FOR EACH ROW BEGIN\nCREATE PROCEDURE no;\n/*!50001 VIEW `no`;\nEND */;;\n"
    b"DELIMITER ;\n-- Dumping events for database 's'\nDELIMITER ;;\n/*!50003 SET x = 1 */ ;;\n/*!50106 CREATE*/ "
    b"/*!50117 DEFINER=`o``d`@`%`*/ /*!50106 EVENT `e` DO SELECT 1\n*/ ;;\nDELIMITER ;\n"
    b"-- Dumping routines for database 's'\nDELIMITER ;;\nCREATE DEFINER=`role` AGGREGATE FUNCTION `f`()\n;;\n"
    b"DELIMITER ;\nDELIMITER //\nCREATE PROCEDURE `p`()\nSELECT ';;'\n//\nDELIMITER ;\nCREATE FUNCTION no;\n"
    b"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`b` */\n/*!50001 VIEW `v` AS 1 */;\n"
)
SIZES = [1, 2, 3, 5, 17, 64, 10_000]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_counted_however_the_dump_is_cut(size: int) -> None:
    inspection = Inspection(HEADER % (b"utf8mb4", b"utf8mb4_bin"))
    passed = b"".join(bytes(chunk) for chunk in inspection(cut(DUMP, size)))
    assert inspection.rows() == {"o`d": 1, "t": 3, "u": 0}
    assert passed == HEADER % (b"utf8mb4", b"utf8mb4_bin") + DUMP.partition(b"\n")[2]


@pytest.mark.parametrize("size", SIZES)
def test_code_is_counted_however_the_dump_is_cut(size: int) -> None:
    inspection = Inspection(HEADER % (b"utf8mb4", b"utf8mb4_bin"))
    list(inspection(cut(BEGIN + CODED + END, size)))
    assert inspection.code() == {"views": 1, "triggers": 1, "routines": 2, "events": 1}


def test_the_events_that_wait_are_counted_with_and_without_their_definers() -> None:
    for owner in (True, False):
        loading, code = Loading(owner=owner), Code()
        list(loading([BEGIN + CODED + END]))
        code.read(loading.events)
        assert code.counts == {"views": 0, "triggers": 0, "routines": 0, "events": 1}


@pytest.mark.parametrize("size", SIZES)
def test_the_parts_are_the_dump(size: int) -> None:
    assert b"".join(part.data for part in Parts().of(cut(DUMP, size))) == DUMP


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keep", [0, 40, len(DUMP) // 2, len(DUMP) - 1])
def test_an_end_that_is_missing_is_noticed(size: int, keep: int) -> None:
    with pytest.raises(DumpError, match="before its last line"):
        list(Inspection(b"")(cut(DUMP[:keep], size)))
    loading = Loading(owner=True)
    list(loading(cut(DUMP[:keep], size)))
    assert not loading.is_complete


@pytest.mark.parametrize("size", SIZES)
def test_events_are_held_back_and_the_rest_is_loaded(size: int) -> None:
    loading = Loading(owner=True)
    assert b"".join(bytes(chunk) for chunk in loading(cut(DUMP, size))) == DUMP.replace(EVENTS, b"")
    assert loading.events == EVENTS
    assert loading.is_complete


@pytest.mark.parametrize("size", SIZES)
def test_definers_go_where_no_owner_is_wanted_and_nowhere_else(size: int) -> None:
    dump = DUMP.replace(b"'a\\n", b"'CREATE DEFINER=`x`@`y` ")
    loaded = b"".join(bytes(chunk) for chunk in Loading(owner=False)(cut(dump, size)))
    assert b"CREATE PROCEDURE `p`()" in loaded
    assert b"'CREATE DEFINER=`x`@`y` " in loaded


MADE = (
    BEGIN + b"CREATE TABLE `m` (\n  `a` int(11) DEFAULT NULL,\n"
    b"  `g``, ` int(11) GENERATED ALWAYS AS (`a` * 2) VIRTUAL,\n"
    b"  `e` enum(' GENERATED ALWAYS AS (','it''s') DEFAULT NULL COMMENT ' GENERATED ALWAYS AS (\\n',\n"
    b"  `h` text GENERATED ALWAYS AS (')\n  x') STORED,\n  `i` text GENERATED ALWAYS AS ('\\'') STORED,\n"
    b"  KEY `h` (`h`)\n) ENGINE=InnoDB;\nINSERT INTO `m` VALUES\n"
    b"(NULL,NULL,'it\\'s),','\\n(1,2),',''),\n(-1.5e3,0xFF,'','a\\\\',_binary 'b\\';');\n"
    b"INSERT INTO `m` (`a`, `g``, `, `e`, `h`, `i`) VALUES\n(1,2,'x','h','i');\n"
    b"CREATE TABLE `plain` (\n  `a` int(11) NOT NULL\n);\nINSERT INTO `plain` VALUES\n(1),\n(2);\n" + END
)  # fmt: skip
COMPUTED = (
    (b"(NULL,NULL,'it\\'s),','\\n(1,2),','')", b"(NULL,DEFAULT,'it\\'s),',DEFAULT,DEFAULT)"),
    (b"(-1.5e3,0xFF,'','a\\\\',_binary 'b\\';')", b"(-1.5e3,DEFAULT,'',DEFAULT,DEFAULT)"),
    (b"(1,2,'x','h','i')", b"(1,DEFAULT,'x',DEFAULT,DEFAULT)"),
)  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_values_of_generated_columns_become_defaults_and_nothing_else_changes(size: int) -> None:
    expected = MADE.partition(b"\n")[2]
    for row, computed in COMPUTED:
        assert row in expected
        expected = expected.replace(row, computed)
    inspection = Inspection(b"", defaults=True)
    assert b"".join(bytes(chunk) for chunk in inspection(cut(MADE, size))) == expected
    assert inspection.rows() == {"m": 3, "plain": 2}


@pytest.mark.parametrize("row", [b"(1,2,'x','h')", b"(1,2,'x','h','i',6)", b"(1,2,x'',y,'h' 'i')", b"(1,2,3,4,'5)"])
def test_a_row_that_is_not_understood_fails_the_dump(row: bytes) -> None:
    with pytest.raises(DumpError, match="a row of the table 'm', which has generated columns"):
        list(Inspection(b"", defaults=True)([MADE.replace(b"(1,2,'x','h','i')", row)]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("defaults", [False, True])
def test_rows_that_share_a_line_fail_the_dump_and_are_not_miscounted(size: int, defaults: bool) -> None:
    dump = MADE.replace(b",\n(-", b",(-").replace(b"VALUES\n", b"VALUES ")
    with pytest.raises(DumpError, match=r"several rows on a line|a row of the table"):
        list(Inspection(b"", defaults=defaults)(cut(dump, size)))

"""Checking the levels that a study names: in factors, design, exclusions and so on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from studies.configuration import ARGUMENTS_PREFIX
from studies.design_kinds import CellList, Exclusion, OneAtATime
from studies.designs import factor_names
from studies.diagnostics import LAYERED, family_and_place, records
from studies.errors import ABSENT, close_matches
from studies.execution import ExecutionConfig
from studies.findings import Findings
from studies.hypotheses import LevelSets
from studies.hypothesis_levels import checked_hypotheses
from studies.paths import PathFinder
from studies.protocol import Protocol
from studies.protocol_levels import check_budget, checked_search
from studies.pruning import check_pruning
from studies.schema import Study, factor_keys, field_of
from studies.values import Scalar


def check_levels(study: Study, paths: PathFinder, findings: Findings) -> Study:
    """The study with each level converted to the type of its key; bad levels are left out."""
    return _LevelCheck(study, paths, findings).checked()


class _LevelCheck:
    """One pass over the levels of one study."""

    def __init__(self, study: Study, paths: PathFinder, findings: Findings) -> None:
        self.study = study
        self.paths = paths
        self.findings = findings
        self.factors = self._factors()

    def checked(self) -> Study:
        """The study with every level checked."""
        study = self.study
        if isinstance(study.design, CellList) and study.factors:
            self.findings.add(
                "factors",
                list(study.factors),
                "nothing, when the design is a list: its cells name the levels",
                "move the levels into design.cells, or use another design",
            )
        self._check_layer_maps()
        report = study.report
        if report.baseline is not None:
            baseline = self._mapping(report.baseline, "report.baseline")
            report = report.model_copy(update={"baseline": baseline})
        return study.model_copy(
            update={
                "factors": self.factors,
                "design": self._design(),
                "exclude": tuple(self._exclusion(i, e) for i, e in enumerate(study.exclude)),
                "report": report,
                "protocol": self._protocol(),
                "hypotheses": checked_hypotheses(study, self._level_sets, self.findings),
            }
        )

    def _factors(self) -> dict[str, tuple[Scalar, ...]]:
        factors = {}
        for key, levels in self.study.factors.items():
            where = f"factors.{key}"
            if not levels:
                self.findings.add(
                    where, [], "at least one level", "list levels, or remove the factor"
                )
            good = self._converted(key, levels, where)
            if len(set(map(repr, good))) < len(good):
                self.findings.add(where, list(levels), "each level once", "remove the repeats")
            if good:
                factors[key] = tuple(good)
        return factors

    def _design(self) -> object:
        design = self.study.design
        if isinstance(design, CellList):
            self._check_arguments_given(design)
            cells = [
                {k: v for key in cell for k, v in self._cell_level(cell, key, index).items()}
                for index, cell in enumerate(design.cells)
            ]
            return design.model_copy(update={"cells": tuple(cells)})
        if isinstance(design, OneAtATime):
            self._check_complete(design)
            first = {key: levels[0] for key, levels in self.factors.items()}
            baseline = first | self._mapping(design.baseline, "design.baseline")
            without = self._mapping(design.without, "design.without")
            for key, level in without.items():
                if level == baseline.get(key):
                    self.findings.add(
                        f"design.without.{key}",
                        level,
                        "a level other than the baseline's",
                        "name the level that means left out",
                    )
            return design.model_copy(update={"baseline": baseline, "without": without})
        return design

    def _check_arguments_given(self, design: CellList) -> None:
        """An argument that one cell names needs a value in the others."""
        given = self.study.module.arguments if self.study.module else {}
        for key in factor_names(self.study):
            name = key.removeprefix(ARGUMENTS_PREFIX)
            if key == name or name in given or all(key in cell for cell in design.cells):
                continue
            self.findings.add(
                key, ABSENT, "a value for the cells that do not name it", f"add {key} to the study"
            )

    def _cell_level(self, cell: Mapping[str, Scalar], key: str, index: int) -> dict[str, Scalar]:
        good = self._converted(key, [cell[key]], f"design.cells.{index}.{key}")
        return {key: good[0]} if good else {}

    def _check_complete(self, design: OneAtATime) -> None:
        needed = ["baseline", "without"] if design.mode == "leave_one_out" else ["baseline"]
        if design.without and design.mode == "swap_one":
            self.findings.add(
                "design.without",
                design.without,
                "nothing, when the mode is swap_one",
                "set design.mode to leave_one_out, or remove it",
            )
        for name in needed:
            missing = [key for key in self.study.factors if key not in getattr(design, name)]
            if missing:
                self.findings.add(
                    f"design.{name}",
                    ABSENT,
                    f"a level for each factor; missing: {', '.join(missing)}",
                    "add the missing levels",
                )

    def _protocol(self) -> Protocol:
        check_budget(self.study, self.findings)
        check_pruning(self.study, self.findings)
        search = checked_search(self.study, self._converted, self.findings)
        return self.study.protocol.model_copy(update={"search": search})

    def _exclusion(self, index: int, exclusion: Exclusion) -> Exclusion:
        when = self._level_sets(exclusion.when, f"exclude.{index}.when")
        return exclusion.model_copy(update={"when": when})

    def _level_sets(self, sets: LevelSets, where: str) -> LevelSets:
        """As `_mapping`, with one level or several for each factor."""
        checked: LevelSets = {}
        for key, value in sets.items():
            levels = value if isinstance(value, tuple) else (value,)
            if not levels:
                self.findings.add(f"{where}.{key}", [], "at least one level", "name a level")
            pairs = [self._mapping({key: level}, where) for level in levels]
            checked[key] = tuple(pair[key] for pair in pairs if key in pair)
        return checked

    def _mapping(self, levels: Mapping[str, Scalar], where: str) -> dict[str, Scalar]:
        """A factor-to-level mapping with unknown factors and levels noted and left out."""
        known = factor_names(self.study)
        checked: dict[str, Scalar] = {}
        for key, level in levels.items():
            path = f"{where}.{key}"
            if key not in known:
                hint = close_matches(key, known) or "name a factor, or add it to `factors`"
                self.findings.add(path, level, f"a factor: {', '.join(known) or 'none'}", hint)
                continue
            good = self._converted(key, [level], path)
            varied = self.factors.get(key)
            if good and varied and good[0] not in varied:
                levels_text = ", ".join(map(str, varied))
                self.findings.add(path, level, f"a level of {key}: {levels_text}", "use one")
            checked |= {key: good[0]} if good else {}
        return checked

    def _check_layer_maps(self) -> None:
        """Every map is of curves that a diagnostic records by layer."""
        for index, entry in enumerate(self.study.report.layer_maps):
            where = f"report.layer_maps.{index}"
            family, place = family_and_place(entry)
            if family not in LAYERED:
                hint = records(family) or close_matches(family, LAYERED)
                allowed = f"a family, or family/tap; families: {', '.join(LAYERED)}"
                self.findings.add(where, entry, allowed, hint or "name a family, or remove it")
            elif place and place not in LAYERED[family]:
                places = ", ".join(LAYERED[family])
                hint = close_matches(place, LAYERED[family]) or f"name one, or {family} alone"
                self.findings.add(where, entry, f"{family} at {places}", hint)

    def _converted(self, key: str, levels: Iterable[Scalar], where: str) -> list[Scalar]:
        """The levels as the type of their key; problems are noted."""
        if key.startswith(ARGUMENTS_PREFIX):
            if self.study.module is None:
                self.findings.add(where, ABSENT, "only with `module:`", "name a module")
                return []
            return list(levels)
        target = field_of(key)
        if target is None:
            self._note_unknown_key(key, where)
            return []
        section, name = target
        good: list[Scalar] = []
        for level in levels:
            try:
                converted = getattr(section.model_validate({name: level}), name)
                good.append(self.paths.level(key, converted, where))
            except ValidationError as error:
                self.findings.add_schema_errors(error.errors(include_url=False)[:1], where)
        return good

    def _note_unknown_key(self, key: str, where: str) -> None:
        section, _, name = key.partition(".")
        if section == "execution" and name in ExecutionConfig.model_fields:
            allowed = "keys that make up a run; `execution` only says how runs are executed"
            self.findings.add(where, ABSENT, allowed, "remove the factor; use one study for each")
            return
        hint = close_matches(key, factor_keys()) or "see `ablate list --keys`"
        self.findings.add(where, ABSENT, "a configuration key such as model.norm", hint)

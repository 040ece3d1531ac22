"""What a trained run does with tables in memory: impute, embed, explain, score and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from mmtoolkit.base.errors import warn
from mmtoolkit.components import Evaluator
from mmtoolkit.using.imputing import TypedRun
from mmtoolkit.using.user_table import UserFrame


class OnTables:
    """The methods of `TrainedRun` that take a user's table."""

    def impute(
        self: TypedRun,
        data: Any,
        samples: int = 0,
        seed: int = 0,
        on_bad_cell: Literal["error", "missing"] | None = None,
        images: Path | str | None = None,
        summary: bool = False,
        tables: int | None = None,
        **reading: Any,
    ) -> Any:
        """Fill the missing cells of a table, and return a table of the same kind. Present cells stay as they are.

        A missing cell gets the point prediction from the mean of q(z | all that its row has). If the table lacks a
        column that the run knows, the column is added and filled in every row. A `DataWarning` names all that changes
        results: bad cells, lacking columns, cells that stay missing and why, rows that are filled from the prior.

        Args:
            data: a pandas or polars frame, an Arrow table, or a dictionary of columns. Paths in it are relative to the
                current folder.
            samples: how many draws of z to pool into each prediction; columns of their spread are added. 0 takes the
                mean.
            seed: fixes the draws.
            on_bad_cell: `error` raises if a cell cannot be read; `missing` counts it as missing and leaves it as it is.
                By default the option of the run's source.
            images: a folder for new pictures; cells then hold their paths. By default cells hold PIL images.
            summary: whether to return (table, `ImputeSummary`), which counts the cells that are filled and those that
                are not.
            tables: how many tables to return, in a list, for multiple imputation (Rubin 1987): in each, the missing
                cells of a row are drawn from p(x | z) of one draw of z, in place of a prediction. Known cells are the
                same in all. With `summary`, the list of their summaries comes second; with `images`, the pictures of
                each go to a folder of its own, IMAGES_1 and so on.
            reading: other options of reading, `missing` and `absent_files`; by default those of the run's source.

        Raises:
            UserError: the table has none of the run's columns, a cell cannot be read, there is no such option, a number
                does not fit, or both `samples` and `tables` are given.
        """
        from mmtoolkit.using.fill import Predicted, fills_of
        from mmtoolkit.using.frames import impute_frame, impute_frames

        frame = UserFrame.for_run(self, reading, on_bad_cell, data=data)
        if tables is None:
            filled, counts = impute_frame(self, frame, Predicted(samples, seed), images)
            warn(counts.notes)
            return (filled, counts) if summary else filled
        drawn, summaries = impute_frames(self, frame, fills_of(tables, samples, seed), images)
        warn(list(dict.fromkeys(note for counts in summaries for note in counts.notes)))
        return (drawn, summaries) if summary else drawn

    def embed(
        self: TypedRun,
        data: Any,
        keep: Sequence[str] = (),
        on_bad_cell: Literal["error", "missing"] | None = None,
        private: bool = False,
        **reading: Any,
    ) -> Any:
        """Return mean_0 … and logvar_0 … of each row: mean and log of the variance of q(z | all that the row has).

        In a model with private latent variables these are of the part of z that all modalities share.

        A `DataWarning` names all that changes results: bad cells, lacking columns, rows that get the prior.

        Args:
            data: as in `impute`; the answer is a table of the same kind.
            keep: columns to copy, before the others.
            on_bad_cell: as in `impute`.
            private: whether to return all of z, also what is private to a modality, in schema order after the shared.
            reading: as in `impute`.

        Raises:
            UserError: the table has no column that the model infers z from, or a cell cannot be read.
        """
        from mmtoolkit.using.frames import embed_frame

        answer, notes = embed_frame(self, UserFrame.for_run(self, reading, on_bad_cell, data=data), keep, private)
        warn(notes)
        return answer

    def explain(
        self: TypedRun,
        data: Any,
        target: str | None = None,
        keep: Sequence[str] = (),
        on_bad_cell: Literal["error", "missing"] | None = None,
        figure: Path | str | None = None,
        row: int | None = None,
        **reading: Any,
    ) -> Any:
        """Return what each modality, and each column of a record, contributes to q(z | what the row has).

        For each of them the answer has PART_share, of the precision of q, PART_shift, how far the mean of q moves in
        standard deviations of q, and PART_kl, KL(q || q without the part) in nats; with a target also PART_effect, what
        the part does to the prediction of the target, and TARGET_predicted. They are NaN, or null, in rows that lack
        the part. `docs/explaining.md` defines them.

        A `DataWarning` names all that changes results: bad cells, lacking columns, rows without contributions.

        Args:
            data: as in `impute`; the answer is a table of the same kind.
            target: the modality whose prediction to explain. It is not given in its own prediction.
            keep: columns to copy, before the others.
            on_bad_cell: as in `impute`.
            figure: a .png file for a picture; one that exists is replaced.
            row: the row that the picture shows, counted from 0; by default it shows the means over all rows.
            reading: as in `impute`.

        Raises:
            UserError: the model does not predict the target, the table has no column that the model infers z from, a
                cell cannot be read, or there is no such row.
        """
        from mmtoolkit.using.explaining import explain_frame

        frame = UserFrame.for_run(self, reading, on_bad_cell, data=data)
        answer, notes = explain_frame(self, frame, target, keep, None if figure is None else Path(figure), row)
        warn(notes)
        return answer

    def score(
        self: TypedRun,
        data: Any,
        keep: Sequence[str] = (),
        samples: int = 100,
        seed: int = 0,
        ranks: Literal["train", "table"] = "train",
        top: int = 0,
        on_bad_cell: Literal["error", "missing"] | None = None,
        **reading: Any,
    ) -> Any:
        """Score each row of a table by log p, and each cell by log p given the rest of its row, in nats.

        The columns are log_likelihood and log_likelihood_error, of all that the row has, by importance sampling;
        suspicion, that of its most suspicious cell; and for each modality NAME_log_prob, the log of the mean of
        p(cell | z) over draws of z ~ q(z | the rest of the row), and NAME_rank, the share of training cells that are
        less likely: near 0, the cell may be wrong. A missing cell has no score, and neither has one whose row has
        nothing else to infer z from.

        A `DataWarning` names all that changes results: bad cells, lacking columns, modalities without a score.

        Args:
            data: as in `impute`; the answer is a table of the same kind.
            keep: columns to copy, before the others.
            samples: draws of z for each row, and for each cell.
            seed: fixes the draws.
            ranks: among which cells to rank: `train`, those of up to 1,000 training rows of the run, whose scores the
                run folder keeps; or `table`, those of this table.
            top: if not 0, return (table, the most suspicious cells), up to so many `Suspect`, the worst first.
            on_bad_cell: as in `impute`.
            reading: as in `impute`.

        Raises:
            UserError: the table has none of the run's columns, a cell cannot be read, an option does not fit, or the
                ranks need the run's training rows and these cannot be read.
        """
        from mmtoolkit.using.scored_table import score_frame

        frame = UserFrame.for_run(self, reading, on_bad_cell, data=data)
        answer, suspects, notes = score_frame(self, frame, keep, samples, seed, ranks, top)
        warn(notes)
        return (answer, suspects) if top else answer

    def evaluate_on(
        self: TypedRun,
        data: Any,
        evaluators: Sequence[Evaluator] | None = None,
        on_bad_cell: Literal["error", "missing"] | None = None,
        **reading: Any,
    ) -> list[dict[str, Any]]:
        """Score another table with each evaluator, as `evaluate` does. The run learns nothing from the table.

        A `DataWarning` names all that changes results: bad cells and lacking columns.

        Args:
            data: the path of a table, or a table in memory as in `impute`.
            evaluators: in order; by default those of the run's schema.
            on_bad_cell: as in `impute`.
            reading: as in `impute`; for a file also `format`, `delimiter`, `encoding` and `files_outside`.

        Raises:
            UserError: the table cannot be read, there is no such option, or an evaluator needs the run's own data and
                that is not there.
        """
        # That module needs `TrainedRun`, which needs this one.
        scoring = import_module("mmtoolkit.runs.scoring_tables")
        scores, notes = scoring.evaluate_on(self, data, evaluators, on_bad_cell, reading)
        warn(notes)
        answer: list[dict[str, Any]] = scores
        return answer

// Rows of a model's inputs from files as people have them: images and recordings in a folder, or
// whatever the steps of a pipeline read.
#pragma once

#include <string>

#include "cli/models/model_optimise.h"
#include "optimise/measure/dataset.h"

namespace skerry::cli {

// What Dataset::read() gives for `options.data`. Where that is a folder of images or recordings, or
// there is a pipeline, each file becomes a row first, in the folder `decoded`, which is made;
// `options` then says that. Folders in it are classes, in the order of their names, where there are
// no other labels. kInvalidArgument names the file that does not fit.
Result<optimise::Dataset> read_rows(const graph::Graph& graph, DataOptions& options,
                                    const std::string& decoded);
// The same in a folder that is gone afterwards.
Result<optimise::Dataset> read_rows(const graph::Graph& graph, const DataOptions& options);

}  // namespace skerry::cli

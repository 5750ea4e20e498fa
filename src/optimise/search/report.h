// What a search found, for programs (JSON), for people in a terminal or a repository (Markdown),
// and for people who like to look (one HTML file that needs no network).
#pragma once

#include <string>

#include "optimise/search/search.h"

namespace skerry::optimise {

std::string report_json(const SearchResult& result, const SearchOptions& options);
std::string report_markdown(const SearchResult& result, const SearchOptions& options);
std::string report_html(const SearchResult& result, const SearchOptions& options);

// Parts that more than one of them has.
std::string verdict(const SearchResult& result, const SearchOptions& options);  // one sentence
std::string artifact_name(
    const SearchResult& result);                       // "model.onnx": of the winner, in the folder
std::string accuracy_text(const Trial& trial);         // "90.12 % (89.5-90.7)", or the agreement
std::string time_text(const Trial& trial, double us);  // "31.2"; "-" where nothing was measured
// "openvino was left out: cannot load …", one for each engine that is not there.
std::vector<std::string> missing_engines(const SearchResult& result, const SearchOptions& options);
std::string profile_title(const TimeProfile& profile, const SearchResult& result,
                          const SearchOptions& options);
// How it was measured, or why not.
std::string profile_note(const TimeProfile& profile, const SearchResult& result,
                         const SearchOptions& options);
double total_us(const TimeProfile& profile);

}  // namespace skerry::optimise

# skerry_module(NAME SRCS … DEPS … [TESTS …] [TEST_DEPS …] [PCH <header> …] [PLAIN | LEAN])
#   library skerry_NAME from SRCS, and one test program NAME_test from TESTS, its cases run by ctest.
#   PCH: a heavy header that most of its files include, precompiled for this module.
#   PLAIN: compiled without optimisation, in a third of the time: what waits for people gains nothing by it. Needs PCH.
#   LEAN: few functions are inlined, in two thirds of the time: what waits for files, networks and people. So are tests.
#   DEPS are skerry_* modules and third-party targets; a module's own include arrows are checked by tools/tidy.py.
# skerry_program(NAME SRCS … DEPS …): the program bin/NAME.
# skerry_test(NAME SRCS … DEPS …): one more test program.
add_library(skerry_options INTERFACE)
target_compile_options(skerry_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wno-missing-field-initializers
  -fno-plt -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(skerry_options INTERFACE -Werror)
  # Lets ccache serve objects that use a precompiled header, also to other clones: no time stamps in
  # it, no path to its source on the command line, and (below) a .sum file that stands for its content.
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
  set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -Xclang -include-pch -Xclang <PCH_FILE>)
  add_link_options(-fuse-ld=lld-19)
else()
  # GCC 12's data-flow warnings misfire in std::expected and coroutines.
  target_compile_options(skerry_options INTERFACE -Wno-maybe-uninitialized -Wno-dangling-pointer
    -Wno-subobject-linkage)
endif()
target_include_directories(skerry_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(SKERRY_LEAN "SHELL:-mllvm -inline-threshold=5")  # instead of 225
endif()
if(SKERRY_SANITIZE)
  add_compile_options(-fsanitize=${SKERRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined -O1)
  add_link_options(-fsanitize=${SKERRY_SANITIZE})
endif()
if(SKERRY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections -Wl,--as-needed)
endif()

# The standard headers every file uses, compiled once; JSON and GoogleTest once more for tests.
file(WRITE ${CMAKE_BINARY_DIR}/pch_anchor.cc "// Anchor of the precompiled headers.\n")
add_library(skerry_pch OBJECT ${CMAKE_BINARY_DIR}/pch_anchor.cc)
target_link_libraries(skerry_pch PRIVATE skerry_options Threads::Threads)
set(SKERRY_PCH <algorithm> <chrono> <coroutine> <expected> <functional> <map> <memory> <optional> <set>
  <string> <string_view> <unordered_map> <utility> <variant> <vector> <nlohmann/json.hpp>)
target_precompile_headers(skerry_pch PRIVATE ${SKERRY_PCH})
add_library(skerry_test_pch OBJECT ${CMAKE_BINARY_DIR}/pch_anchor.cc)
target_link_libraries(skerry_test_pch PRIVATE skerry_options Threads::Threads GTest::gtest)
set(SKERRY_TEST_PCH <algorithm> <functional> <map> <memory> <optional> <string> <vector> <nlohmann/json.hpp>
  <gtest/gtest.h>)
target_precompile_headers(skerry_test_pch PRIVATE ${SKERRY_TEST_PCH})

# What ccache (CCACHE_PCH_EXTSUM) hashes instead of TARGET's precompiled header, which holds absolute paths:
# the headers in it, and the lock that says which versions of the packages they come from.
file(SHA256 ${CMAKE_SOURCE_DIR}/tools/lock/apt.txt apt_lock_sha256)
function(skerry_share_pch TARGET)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${TARGET}.dir/cmake_pch.hxx.pch.sum
       "${CMAKE_CXX_COMPILER_VERSION} ${apt_lock_sha256} ${ARGN}")
endfunction()
skerry_share_pch(skerry_pch ${SKERRY_PCH})
skerry_share_pch(skerry_test_pch ${SKERRY_TEST_PCH})

# Where tests find their data. A header and not definitions: only what includes it differs between clones.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/test_paths.h CONTENT [=[// Made by CMake.
#pragma once
#define SKERRY_SOURCE_DIR "@CMAKE_SOURCE_DIR@"
#define SKERRY_CACHE_DIR "@SKERRY_CACHE@"
#define SKERRY_BIN_DIR "@CMAKE_RUNTIME_OUTPUT_DIRECTORY@"
]=] @ONLY)

# In OUT the sources, SKERRY_TOGETHER of them in one file that includes them: what a file costs is above all the
# templates that its neighbours use, too. So what files of a module keep to themselves has different names.
set(SKERRY_TOGETHER 8 CACHE STRING "Files of a module that are compiled as one; 1: each by itself")
set(SKERRY_TESTS_TOGETHER 4 CACHE STRING "Likewise, of a test program")
function(skerry_together OUT NAME AT_ONCE)
  set(files ${ARGN})
  list(FILTER files EXCLUDE REGEX "^/")
  set(result ${ARGN})
  list(REMOVE_ITEM result ${files})  # what is generated stays by itself
  list(LENGTH files count)
  if(count EQUAL 0)
    set(${OUT} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  math(EXPR units "(${count} + ${AT_ONCE} - 1) / ${AT_ONCE}")
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${CMAKE_SOURCE_DIR}/src OUTPUT_VARIABLE folder)
  set(from 0)
  foreach(unit RANGE 1 ${units})
    math(EXPR to "${count} * ${unit} / ${units}")
    math(EXPR length "${to} - ${from}")
    list(SUBLIST files ${from} ${length} unit_files)
    list(TRANSFORM unit_files REPLACE "(.+)" "#include \"${folder}/\\1\"  // NOLINT\n")
    list(JOIN unit_files "" content)
    set(path ${CMAKE_CURRENT_BINARY_DIR}/${NAME}_${unit}.cc)
    file(CONFIGURE OUTPUT ${path} CONTENT "// Made by CMake.\n${content}" @ONLY)
    list(APPEND result ${path})
    set(from ${to})
  endforeach()
  set(${OUT} ${result} PARENT_SCOPE)
endfunction()

function(skerry_module NAME)
  cmake_parse_arguments(ARG "PLAIN;LEAN" "" "SRCS;DEPS;TESTS;TEST_DEPS;PCH" ${ARGN})
  set(libraries skerry_${NAME})
  if(SKERRY_TOGETHER GREATER 1)
    skerry_together(together ${NAME} ${SKERRY_TOGETHER} ${ARG_SRCS})
    add_library(skerry_${NAME} STATIC ${together})
    # Never built: with it the files are in compile_commands.json, for clang-tidy and editors.
    add_library(skerry_${NAME}_files OBJECT EXCLUDE_FROM_ALL ${ARG_SRCS})
    target_compile_definitions(skerry_${NAME}_files PRIVATE $<TARGET_PROPERTY:skerry_${NAME},COMPILE_DEFINITIONS>)
    list(APPEND libraries skerry_${NAME}_files)
  else()
    add_library(skerry_${NAME} STATIC ${ARG_SRCS})
  endif()
  foreach(library ${libraries})
    target_link_libraries(${library} PUBLIC skerry_options Threads::Threads ${ARG_DEPS})
    if(ARG_PLAIN)
      target_compile_options(${library} PRIVATE -O0)
    endif()
    if(ARG_LEAN)
      target_compile_options(${library} PRIVATE ${SKERRY_LEAN})
    endif()
  endforeach()
  # GCC 12 cannot map a precompiled header of that size ("PCH allocation failure").
  if(ARG_PCH AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_precompile_headers(skerry_${NAME} PRIVATE ${SKERRY_PCH} ${ARG_PCH})
    skerry_share_pch(skerry_${NAME} ${SKERRY_PCH} ${ARG_PCH})
    if(SKERRY_TOGETHER GREATER 1)
      target_precompile_headers(skerry_${NAME}_files REUSE_FROM skerry_${NAME})
    endif()
  else()
    foreach(library ${libraries})
      target_precompile_headers(${library} REUSE_FROM skerry_pch)
    endforeach()
  endif()
  if(ARG_TESTS)
    skerry_test(${NAME}_test SRCS ${ARG_TESTS} DEPS skerry_${NAME} ${ARG_TEST_DEPS})
  endif()
endfunction()

function(skerry_program NAME)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  target_link_libraries(${NAME} PRIVATE skerry_options ${ARG_DEPS})
  target_precompile_headers(${NAME} REUSE_FROM skerry_pch)
  target_compile_definitions(${NAME} PRIVATE SKERRY_VERSION="${PROJECT_VERSION}")
  target_compile_options(${NAME} PRIVATE ${SKERRY_LEAN})
endfunction()

include(GoogleTest)
function(skerry_test NAME)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  skerry_together(together ${NAME} ${SKERRY_TESTS_TOGETHER} ${ARG_SRCS})
  add_executable(${NAME} ${together})
  set(programs ${NAME})
  if(SKERRY_TESTS_TOGETHER GREATER 1)
    add_library(${NAME}_files OBJECT EXCLUDE_FROM_ALL ${ARG_SRCS})
    list(APPEND programs ${NAME}_files)
  endif()
  foreach(program ${programs})
    target_link_libraries(${program} PRIVATE skerry_options ${ARG_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
    target_precompile_headers(${program} REUSE_FROM skerry_test_pch)
    target_compile_options(${program} PRIVATE ${SKERRY_LEAN})
    target_include_directories(${program} PRIVATE ${CMAKE_BINARY_DIR}/generated)  # test_paths.h
  endforeach()
  # What has threads of its own is run under ThreadSanitizer, too (./dev test).
  if(NAME MATCHES "^(io|serve)_test$")
    set(label LABELS threads)
  endif()
  gtest_discover_tests(${NAME} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120 ${label})
  if(label)
    add_dependencies(thread_tests ${NAME})
  endif()
endfunction()
add_custom_target(thread_tests)

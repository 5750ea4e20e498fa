# What Debian's packages provide, found once; modules name these targets.
set(SKERRY_CACHE "$ENV{HOME}/.cache/skerry" CACHE PATH "Where ./dev setup puts vendor runtimes")
if(SKERRY_CACHE STREQUAL "")
  set(SKERRY_CACHE "$ENV{HOME}/.cache/skerry" CACHE PATH "" FORCE)
endif()
set(SKERRY_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")
option(SKERRY_FUZZ "Build the libFuzzer targets" OFF)

find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(LibArchive REQUIRED)
find_package(ZLIB REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(simdjson REQUIRED)
find_package(CLI11 REQUIRED)
find_package(date REQUIRED)  # time zones
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(mosquitto REQUIRED IMPORTED_TARGET libmosquitto)

# Of libarchive only its ZIP reader, with the libraries that this needs: the shared one brings those of every
# format (libxml2 and ICU among them), 1.6 MB of each device's memory.
add_library(skerry_zip INTERFACE)
find_library(skerry_zip_archive libarchive.a)
set(zip_libraries ${skerry_zip_archive})
foreach(library libz.so.1 libbz2.so.1.0 liblzma.so.5 libzstd.so.1 libnettle.so.8 libcrypto.so.3)
  find_library(skerry_zip_${library} ${library})
  list(APPEND zip_libraries ${skerry_zip_${library}})
endforeach()
if("${zip_libraries}" MATCHES "NOTFOUND" OR NOT skerry_zip_archive)
  message(STATUS "The whole of libarchive is linked: ${zip_libraries}")
  set(zip_libraries LibArchive::LibArchive)
endif()
target_link_libraries(skerry_zip INTERFACE ${zip_libraries})
target_include_directories(skerry_zip SYSTEM INTERFACE ${LibArchive_INCLUDE_DIRS})

# What pipelines decode with: the static ones, so that a device needs no package of them.
add_library(skerry_media INTERFACE)
find_library(skerry_turbojpeg libturbojpeg.a REQUIRED)
find_library(skerry_png libpng16.a REQUIRED)
find_library(skerry_utf8proc libutf8proc.a REQUIRED)
target_link_libraries(skerry_media INTERFACE ${skerry_turbojpeg} ${skerry_png} ${skerry_utf8proc} ZLIB::ZLIB m)
target_compile_definitions(skerry_media INTERFACE UTF8PROC_STATIC)

add_library(skerry_soci INTERFACE)
target_link_libraries(skerry_soci INTERFACE soci_core soci_sqlite3 SQLite::SQLite3)
target_include_directories(skerry_soci SYSTEM INTERFACE /usr/include/soci)
if(SKERRY_SANITIZE)
  # SOCI does not export the type information that this check needs.
  target_compile_options(skerry_soci INTERFACE -fno-sanitize=vptr)
endif()

# ONNX Runtime is loaded with dlopen: only its header is needed to build.
add_library(skerry_onnxruntime_headers INTERFACE)
file(GLOB_RECURSE onnxruntime_header "${SKERRY_CACHE}/onnxruntime/include/*onnxruntime_c_api.h")
if(NOT onnxruntime_header)
  message(FATAL_ERROR "onnxruntime_c_api.h is not in ${SKERRY_CACHE}/onnxruntime/include: run ./dev setup")
endif()
list(GET onnxruntime_header 0 onnxruntime_header)
cmake_path(GET onnxruntime_header PARENT_PATH onnxruntime_include)
target_include_directories(skerry_onnxruntime_headers SYSTEM INTERFACE ${onnxruntime_include})

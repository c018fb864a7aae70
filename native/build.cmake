# What this program adds to whisper.cpp. Cargo's configuration names this file as CMAKE_PROJECT_INCLUDE, and cmake reads
# it after every `project()`. It changes no source: it adds files, and gives some of ggml's functions another name.
#
# Cargo does not know these files: after a change of one, `cargo clean -p whisper-rs-sys`.

# At the end of each project, when its targets are there.
if(PROJECT_NAME STREQUAL "ggml")
    cmake_language(EVAL CODE "cmake_language(DEFER CALL include \"${CMAKE_CURRENT_LIST_DIR}/ggml.cmake\")")
elseif(PROJECT_NAME STREQUAL "whisper.cpp")
    cmake_language(EVAL CODE "cmake_language(DEFER CALL include \"${CMAKE_CURRENT_LIST_DIR}/whisper.cmake\")")
endif()

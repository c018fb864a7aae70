# whisper.cpp as part of sequences.cpp, which includes it.
target_sources(whisper PRIVATE "${CMAKE_CURRENT_LIST_DIR}/sequences.cpp")
set_source_files_properties(src/whisper.cpp TARGET_DIRECTORY whisper PROPERTIES HEADER_FILE_ONLY ON)

/**
 * Keeps what the programs unwind by: lists of mappings, by one thread that listens to the kernel, and tables, by one
 * that makes them. Everything of the unwinder that knows nothing of JavaScript.
 */
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../symbols/captured-code.h"
#include "../thread.h"
#include "block-arena.h"
#include "process-events.h"
#include "process-lists.h"
#include "shared-maps.h"
#include "stack-resumer.h"
#include "table-maker.h"
#include "table-store.h"
#include "use-marks.h"

namespace hotspan::unwind {

struct UnwinderOptions {
    /** Of blocks. */
    size_t maxBytes = 0;
    /** Where tables are kept on disk; empty: nowhere. */
    std::string cacheDir;
};

struct UnwinderStats {
    size_t processes = 0;
    size_t mappings = 0;
    size_t files = 0;
    TableTotals tables;
    size_t blockBytes = 0;
    size_t usedBytes = 0;
    size_t maxBytes = 0;
    uint64_t fixedMapBytes = 0;
    size_t eventBufferBytes = 0;
    uint64_t builds = 0;
    uint64_t buildNs = 0;
    uint64_t cacheHits = 0;
    uint64_t unreadableFiles = 0;
    /** Files that wait for their table. */
    size_t waitingFiles = 0;
    uint64_t events = 0;
    uint64_t lostEvents = 0;
    uint64_t scans = 0;
    /** The first look at all processes: how long it took, and until all of their tables were made. */
    uint64_t scanNs = 0;
    uint64_t readyNs = 0;
    uint64_t rereads = 0;
    uint64_t unpublished = 0;
    ResumeTotals resumes;
};

class UnwindEngine final : public symbols::CodeCapture {
  public:
    explicit UnwindEngine(const UnwinderOptions &options);
    ~UnwindEngine();
    UnwindEngine(const UnwindEngine &) = delete;
    UnwindEngine &operator=(const UnwindEngine &) = delete;

    /** Makes the maps and starts the threads. 0 or a positive errno; `failed` names what could not be had. */
    int start(std::string &failed);
    /** Ends the threads. What is to be resumed stays unanswered. */
    void stop();

    const SharedMaps &maps() const { return maps_; }
    /** Any thread. `done` is called on the engine's. */
    void resume(StackCopy copy, std::function<void(ResumedStack)> done);
    /** A stack ended for want of room for the table of the code at an address: it is tried again. */
    void want(int pid, uint64_t timeNs, uint64_t address);
    /** Marks of use: given to whoever sees the samples. */
    UseMarks &marks() { return *marks_; }
    std::optional<symbols::CapturedCode> codeAt(int pid, uint64_t address) override;
    UnwinderStats stats();

  private:
    class MapPublisher : public ListPublisher {
      public:
        explicit MapPublisher(SharedMaps &maps) : maps_(maps) {}
        bool publish(int pid, uint64_t word) override { return maps_.publish(pid, word); }
        void remove(int pid) override { maps_.remove(pid); }

      private:
        SharedMaps &maps_;
    };

    void listen();
    void scan();
    bool takeEvents();
    void wake();
    void waitForEvents(bool isBusy);
    void makeTables();
    bool nextFile(std::unique_lock<std::mutex> &lock, std::shared_ptr<CodeFile> &file);
    void makeTable(std::unique_lock<std::mutex> &lock, CodeFile &file);
    void finishFile(CodeFile &file, MadeTable &made);
    bool placeTable(std::unique_lock<std::mutex> &lock, CodeFile &file, const UnwindTable &table);
    void queueFile(std::shared_ptr<CodeFile> file, bool isWanted);

    const UnwinderOptions options_;
    SharedMaps maps_;
    MapPublisher publisher_{maps_};
    ProcessEvents events_;
    std::unique_ptr<UseMarks> marks_ = std::make_unique<UseMarks>();
    symbols::UniqueFd wakeFd_;
    std::vector<int> eventFds_;
    std::atomic<bool> isStopping_{false};

    /** Guards all that follows. Held for some milliseconds at most. */
    std::mutex mutex_;
    std::condition_variable fileWaits_;
    std::condition_variable roomFreed_;
    BlockArena arena_;
    ProcessLists lists_;
    TableStore tables_;
    TableMaker maker_;
    StackResumer resumer_;
    std::deque<std::shared_ptr<CodeFile>> waiting_;
    UnwinderStats totals_;
    uint64_t startNs_ = 0;
    uint64_t nextScanNs_ = 0;
    uint64_t lostSeen_ = 0;
    uint64_t horizonNs_ = 0;
    bool isBuilding_ = false;

    Thread listener_;
    Thread builder_;
};

} // namespace hotspan::unwind

// Exceptions that cross threads (std::exception_ptr, std::future), and that unwind through frames on a peer's stack.
#include <exception>
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Guard {
    int &count;
    explicit Guard(int &c) : count(c) {}
    ~Guard() { count++; }
};

int descend(int depth, int &unwound)
{
    Guard guard(unwound);
    std::string text(100, static_cast<char>('a' + depth % 26));
    if (depth == 0)
        throw std::runtime_error("bottom " + text.substr(0, 3));
    return descend(depth - 1, unwound) + static_cast<int>(text.size());
}

} // namespace

int main()
{
    // Thrown in a thread, carried by a future, caught here.
    std::vector<std::future<int>> futures;
    for (int i = 0; i < 4; i++)
        futures.push_back(std::async(std::launch::async, [i] {
            int unwound = 0;
            if (i % 2)
                return descend(10 * i, unwound);
            return i;
        }));
    for (auto &future : futures) {
        try {
            std::cout << "value " << future.get() << "\n";
        } catch (const std::exception &error) {
            std::cout << "caught " << error.what() << "\n";
        }
    }

    // Thrown here, carried by exception_ptr, thrown again and caught in threads.
    std::exception_ptr pointer;
    int unwound = 0;
    try {
        descend(20, unwound);
    } catch (...) {
        pointer = std::current_exception();
    }
    std::vector<std::string> lines(4);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&lines, pointer, i] {
            for (int round = 0; round < 20; round++) {
                try {
                    std::rethrow_exception(pointer);
                } catch (const std::runtime_error &error) {
                    lines[static_cast<size_t>(i)] = std::to_string(i) + " again " + error.what();
                }
            }
        });
    for (auto &thread : threads)
        thread.join();
    for (const auto &line : lines)
        std::cout << line << "\n";
    std::cout << "unwound " << unwound << "\n";
    return unwound == 21 ? 0 : 1;
}

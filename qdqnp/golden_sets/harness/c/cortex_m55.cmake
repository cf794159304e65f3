# arm-none-eabi-gcc for a Cortex-M55. The program is for the board MPS3 with AN547, as QEMU has it:
#   qemu-system-arm -M mps3-an547 -nographic -semihosting -kernel m55/@PREFIX@_network
# For a board of yours, put its startup file and linker script in the place of mps3_an547.c and mps3_an547.ld.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR cortex-m55)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard -ffunction-sections -fdata-sections")

from gradworks.cli import main

main()

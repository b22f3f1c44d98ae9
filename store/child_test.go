package store

import "fmt"

func child(role string) int { fmt.Println(role); return 0 }

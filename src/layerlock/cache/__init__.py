"""The remote binary cache: signed realisations, and trees and files by content."""
